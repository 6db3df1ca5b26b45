"""What the user says about a checkpoint: a configuration, a recipe, single settings. Tells two kinds of file apart."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import field, frozen

from nanogen_core.config import combine, load_config
from nanogen_core.config_layers import Layer, for_task, keys, named
from nanogen_core.errors import ConfigError, UnknownName, listing, near_miss
from nanogen_core.registry import registry
from nanogen_files import yaml_files

#: Keys of which a configuration of NanoGen has at least one. Other programs may share the other keys.
OWN = frozenset({"task", "method", "tokenizer", "backbone", "objective"})
SETTINGS = "--set"


@frozen
class Given:
    """What the user said. `raw` is a configuration of NanoGen, `foreign` one of another program; one of them is empty.

    `source` names where they come from.
    """

    source: str = ""
    raw: Mapping[str, Any] = field(factory=dict)
    foreign: Mapping[str, Any] | None = None
    recipe: str | None = None
    settings: Mapping[str, Any] = field(factory=dict)

    @property
    def complete(self) -> bool:
        """Whether a recipe or a published configuration decides everything."""
        return self.recipe is not None or self.foreign is not None

    def combined(self, task: str | None = None) -> dict[str, Any]:
        """The configuration with the settings over it, for another task where one is named."""
        switch = {} if task is None else {"task": task}
        return combine(self.raw, {**switch, **self.settings})

    def alone(self, task: str) -> dict[str, Any]:
        """The configuration for a task, without the settings."""
        return combine(self.raw, {"task": task})

    def layers(self, task: str) -> list[tuple[str, Layer]]:
        """The settings, then the configuration, each with the name of its source."""
        return [(SETTINGS, said(self.settings, task)), (self.source, said(self.raw, task))]


def said(raw: Mapping[str, Any], task: str) -> Layer:
    """What a configuration says itself for a task, with no defaults. Mistakes are told when it is resolved."""
    return for_task(named(raw), task, [])


def given(
    config: str | Path | Mapping[str, Any] | None, recipe: str | None, settings: Mapping[str, Any] | None
) -> Given:
    """Read what the user gave.

    Raises:
        ConfigError: both a configuration and a recipe, or a configuration that is neither clearly one of NanoGen nor
            clearly one of another program.
        UnknownName: there is no such recipe.
    """
    over = settings or {}
    if recipe is not None:
        if config is not None:
            raise ConfigError("Give a configuration or a recipe, not both: --set changes single options of either.")
        return Given(f"recipe {recipe}", _recipe(recipe), recipe=recipe, settings=over)
    if config is None:
        return Given(settings=over)
    source = "the configuration" if isinstance(config, Mapping) else str(config)
    values = config if isinstance(config, Mapping) else _file(config)
    return Given(source, values, settings=over) if _is_own(values, source) else Given(source, {}, values, None, over)


def _recipe(name: str) -> Mapping[str, Any]:
    recipes = registry().recipes
    if name not in recipes:
        raise UnknownName(f"There is no recipe {name!r}.{near_miss(name, recipes)} Recipes: {listing(recipes)}.")
    return load_config(name)


def _file(path: str | Path) -> Mapping[str, Any]:
    if not Path(path).is_file() and str(path) in registry().recipes:
        raise ConfigError(f"--config takes a file, and {path} is a recipe: write --recipe {path}.")
    return yaml_files.read(path)


def _is_own(values: Mapping[str, Any], source: str) -> bool:
    """Whether a configuration is one of NanoGen. Raises ConfigError where its keys do not tell."""
    own, unknown = values.keys() & OWN, values.keys() - set(keys())
    if own and unknown:
        near = "".join(near_miss(key, keys()) for key in sorted(unknown))
        raise ConfigError(
            f"{source} mixes keys of NanoGen ({listing(own)}) with keys that NanoGen does not have"
            f" ({listing(unknown)}).{near} Give a configuration of one program."
        )
    if not own and not unknown:
        raise ConfigError(
            f"{source} may be a configuration of NanoGen or a published one: its keys ({listing(values)}) do not tell."
            " Add `task:` and `method:`, or give the whole published file."
        )
    return bool(own)
