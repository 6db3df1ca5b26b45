"""Checks an installed plugin: discovery, contracts, types, and short trainings."""

from __future__ import annotations

import logging
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from attrs import evolve

from nanogen_core import hookspecs
from nanogen_core.errors import NanoGenError, UnknownName, near_miss, shown
from nanogen_core.pipeline import build_pipeline
from nanogen_core.plugins import Plugin
from nanogen_core.registry import Offer, registry
from nanogen_core.specs import Component
from nanogen_scaffold.checks.contract_run import contract_checks
from nanogen_scaffold.checks.report import FAILED, LEFT_OUT, Check, Report
from nanogen_scaffold.checks.tested import Tested, explained, unmet_needs
from nanogen_scaffold.checks.typing_check import MYPY, TYPES, check_types
from nanogen_scaffold.small import register_small_parts, train_resolved

STEPS = 5
DISCOVERY, TRAINING = "discovery", "training"
REQUEST = "Left out by --leave-out."


def check_plugin(name: str, *, settings: Mapping[str, Any] | None = None, left_out: Sequence[str] = ()) -> Report:
    """Check a plugin and return the report.

    Args:
        name: Name of an installed distribution, plugin, component (also `distribution:name`) or method.
        settings: Configuration keys that override the small configuration in which components are tested.
        left_out: Parts of titles. A title is the group and the name of a check, such as "types mypy --strict". A check
            is left out if its title contains one of these parts.

    Raises:
        NanoGenError: Nothing has this name, or several distributions offer it.
    """
    register_small_parts()
    plugins, offers = _find(name)
    checks = _checks(plugins, [Tested(offer, settings or {}) for offer in offers], left_out)
    excused = [
        evolve(c, state=LEFT_OUT, reason=REQUEST) if _is_in(f"{c.group} {c.name}", left_out) else c for c in checks
    ]
    return Report(plugins[0].distribution, plugins[0].version, excused)


def _is_in(title: str, left_out: Sequence[str]) -> bool:
    return any(text in title for text in left_out)


def _checks(plugins: Sequence[Plugin], tested: Sequence[Tested], left_out: Sequence[str]) -> list[Check]:
    checks = [check for plugin in plugins for check in _discovery(plugin)]
    if any(check.state == FAILED for check in checks):
        reason = "The plugin cannot be loaded."
        return [*checks, *(Check(group, "all", LEFT_OUT, reason) for group in ("contracts", "types", TRAINING))]
    checks += [check for each in tested for check in _needs(each)]
    selectable = [each for each in tested if each.selectable]
    with tempfile.TemporaryDirectory() as folder, _quiet():
        checks += contract_checks([plugin.module for plugin in plugins], selectable)
        checks += [Check(t.title, "contract", LEFT_OUT, NO_KEY) for t in tested if not t.selectable]
        if _is_in(f"{TYPES} {MYPY}", left_out):
            checks.append(Check(TYPES, MYPY))
        else:
            checks += [check_types(module) for module in dict.fromkeys(plugin.module for plugin in plugins)]
        for number, (each, task) in enumerate((t, task) for t in selectable for task in t.tasks):
            name, run = f"{each.title} on {task}", Path(folder) / str(number)
            left = _is_in(f"{TRAINING} {name}", left_out)
            checks.append(Check(TRAINING, name) if left else _training(each, task, name, run))
    return checks


NO_KEY = "Configurations have no key for this kind: only options of other components select it."


# -- finding -----------------------------------------------------------------------------------------------------------


def _find(name: str) -> tuple[list[Plugin], list[Offer[Any]]]:
    """Return the plugins that a name means, and the components and methods to check."""
    known = registry()
    offers: list[Offer[Any]] = [o for named in known.components.values() for found in named.values() for o in found]
    offers += [o for found in known.methods.values() for o in found]
    wanted = {_normal(name), _normal(f"nanogen-{name}")}
    plugins = [plugin for plugin in known.plugins if _normal(plugin.distribution) in wanted]
    plugins = plugins or [plugin for plugin in known.plugins if name in (plugin.name, plugin.module)]
    if plugins:
        owners = {f"{plugin.distribution}:{plugin.name}" for plugin in plugins}
        return plugins, [offer for offer in offers if offer.plugin in owners]
    chosen = [offer for offer in offers if name in (offer.what.name, offer.full_name)]
    owners = {offer.plugin for offer in chosen} or {
        _identity(known.lost[word]) for word in [name] if word in known.lost
    }
    if not owners:
        raise UnknownName(_unknown(name, offers))
    if len({owner.partition(":")[0] for owner in owners}) > 1:
        raise NanoGenError(f"Several distributions offer {name!r}: write {' or '.join(o.full_name for o in chosen)}.")
    return [plugin for plugin in known.plugins if _identity(plugin) in owners], chosen


def _identity(plugin: Plugin) -> str:
    return f"{plugin.distribution}:{plugin.name}"


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _unknown(name: str, offers: Sequence[Offer[Any]]) -> str:
    for distribution in (name, f"nanogen-{name}"):
        try:
            version(distribution)
        except (PackageNotFoundError, ValueError):
            continue
        return (
            f"{distribution} is installed, but has no entry point in the group `nanogen`. Add one to its"
            ' pyproject.toml, such as `[project.entry-points.nanogen] name = "package.plugin"`, and install it again.'
        )
    names = [*(plugin.distribution for plugin in registry().plugins), *(offer.what.name for offer in offers)]
    return (
        f"No installed distribution, component or method has the name {shown(name)}.{near_miss(name, names)}"
        " Install the plugin with `pip install -e FOLDER`; `nanogen plugins` lists what is installed."
    )


# -- checks ------------------------------------------------------------------------------------------------------------


def _discovery(plugin: Plugin) -> Iterator[Check]:
    """Yield the stages in which a manifest is read, up to the first that fails."""
    loads = f"the manifest {plugin.module} can be imported"
    try:
        manifest = import_module(plugin.module)
    except Exception as error:
        yield Check(DISCOVERY, loads, FAILED, f"{type(error).__name__}: {error}")
        return
    yield Check(DISCOVERY, loads)
    api, stated = f"NANOGEN_API is {hookspecs.API}", getattr(manifest, "NANOGEN_API", None)
    if stated != hookspecs.API:
        reason = "The manifest has no NANOGEN_API." if stated is None else f"The manifest has NANOGEN_API = {stated!r}."
        change = f"Adapt its hooks to this version of NanoGen, and set NANOGEN_API = {hookspecs.API}."
        yield Check(DISCOVERY, api, FAILED, f"{reason} {change}")
        return
    yield Check(DISCOVERY, api)
    hooks = "the hooks are valid"
    yield Check(DISCOVERY, hooks, FAILED, plugin.error) if plugin.error else Check(DISCOVERY, hooks)


def _needs(tested: Tested) -> Iterator[Check]:
    if isinstance(tested.offer.what, Component) and tested.offer.what.needs:
        sentences = "\n".join(unmet_needs(tested.offer.what))
        state = (FAILED, sentences) if sentences else ()
        yield Check(tested.title, "installed components meet its needs", *state)


def _training(tested: Tested, task: str, name: str, folder: Path) -> Check:
    """Train for a few steps, save, load, sample, and score if the component is a metric."""
    try:
        resolved = tested.resolved(task, train={"steps": STEPS})
        trained = train_resolved(resolved, folder)
        if resolved.groups.get("metric"):
            _score(trained.pipeline)
        if _same_weights(trained.pipeline.state(), build_pipeline(resolved).state()):
            advice = "Check that the loss has gradients, and that the stage's `weights` returns the trained parts."
            return Check(TRAINING, name, FAILED, f"No weight changed in {STEPS} steps. {advice}")
    except Exception as error:
        return Check(TRAINING, name, *explained(error))
    return Check(TRAINING, name)


def _score(pipeline: Any) -> None:
    from nanogen_eval import evaluate_pipeline

    evaluate_pipeline(pipeline, 8)


def _same_weights(first: Mapping[str, Mapping[str, Any]], second: Mapping[str, Mapping[str, Any]]) -> bool:
    return all(
        name in second.get(part, {}) and torch.equal(tensor, second[part][name])
        for part, state in first.items()
        for name, tensor in state.items()
    )


class _quiet:  # noqa: N801
    """Silences log messages of the trainings inside a `with` block."""

    def __enter__(self) -> None:
        self._before = logging.root.manager.disable
        logging.disable(logging.WARNING)

    def __exit__(self, *error: object) -> None:
        logging.disable(self._before)
