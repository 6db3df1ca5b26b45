"""Command-line options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from nanogen_core import validators
from nanogen_core.config import Resolved, layered, resolve
from nanogen_core.errors import ConfigError, shown
from nanogen_core.kinds import groups, slots
from nanogen_files.reading import user_path
from nanogen_files.typed import NULL, Typed, opened

DEPTH = 20  # limit of the keys in one path


class Number(click.ParamType):  # type: ignore[type-arg]
    """A click parameter type for numbers within limits. Rejects NaN and infinity."""

    def __init__(self, kind: type[int] | type[float], limits: validators.between):
        self.kind, self.limits = kind, limits
        self.name = "integer" if kind is int else "float"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            number = self.kind(value)
        except ValueError:
            self.fail(f"{shown(value)} is not {'an integer' if self.kind is int else 'a number'}.", param, ctx)
        if not self.limits.holds(number):
            self.fail(f"{shown(number)} is out of range: it must be {self.limits}.", param, ctx)
        return number


class SavedPipeline(click.ParamType):  # type: ignore[type-arg]
    """A click parameter type for the folder of a saved pipeline. `hf://user/name[@revision]` is downloaded."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return user_path(str(value))


#: A count whose results are kept in memory at once.
FEW = Number(int, validators.at_least(1, 100_000))
DRAWS = Number(int, validators.at_least(100, 1_000_000))
IMAGES = Number(int, validators.at_least(1, 100_000_000))
BATCH = Number(int, validators.batch)
WORKERS = Number(int, validators.at_least(1, 1024))
STEPS = Number(int, validators.sampling_steps)
SCALE = Number(float, validators.guidance_scale)
SEED = Number(int, validators.seed_number)
COUNT = Number(int, validators.count)


def overrides(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the repeatable option `--set key.path=value` to a command."""
    return click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="KEY.PATH=VALUE",
        help="Override a configuration option; repeatable.",
        callback=lambda context, option, values: values if override_layer(values) else (),  # before click counts words
    )(command)


def override_layer(settings: tuple[str, ...]) -> dict[str, Any]:
    """Convert `--set` options to one layer: `("train.steps=10", "task=t2i")` becomes
    `{"train": {"steps": "10"}, "task": {"name": "t2i"}}`.

    The order matters only for settings of the same path. The last one wins, but names of a group accumulate. Values are
    strings (`Typed`), which are converted later. Raises ConfigError if a setting is malformed or contradicts another.
    """
    layer: dict[str, Any] = {}
    for setting in settings:
        path, equals, text = setting.partition("=")
        keys = path.split(".")
        if not equals or not all(keys) or len(keys) > DEPTH:
            raise ConfigError(
                f"--set must have the form KEY.PATH=VALUE, such as train.steps=100, got {shown(setting)}. Quote spaces."
            )
        value: Any = Typed(text)
        for depth in reversed(range(len(keys))):
            value = {keys[depth]: _part(keys[: depth + 1], value)}
        layer = _merged(layer, value, "")
    return layer


def resolved(config: str, settings: tuple[str, ...]) -> Resolved:
    """Load a configuration file or recipe, apply `--set` options and resolve the result."""
    return resolve(*layered(config, override_layer(settings)))


def _part(keys: list[str], value: Any) -> Any:
    """Expand the name of a slot or the names of a group to a mapping, into which options can be merged."""
    if keys[0] == "per_task":
        keys = keys[2:]
    value = opened(value) if len(keys) == 1 and keys[0] in (*slots(), *groups()) else value
    if len(keys) != 1 or not isinstance(value, (str, list)):
        return value
    if keys[0] in slots() and isinstance(value, str):
        return {"name": value}
    if keys[0] in groups():
        names = [value] if isinstance(value, str) else value
        return {str(name): {} for name in names} if all(isinstance(name, str) for name in names) else value
    return value


def _merged(one: Any, other: Any, path: str) -> Any:
    """Merge two settings. A text for a path that also has keys is the name of the component with these keys."""
    if isinstance(one, dict) and isinstance(other, dict):
        both = {key: _merged(one[key], other[key], f"{path}.{key}".lstrip(".")) for key in one if key in other}
        return {**one, **other, **both}
    if isinstance(one, dict) or isinstance(other, dict):
        return _merged(_mapping(one, path), _mapping(other, path), path)
    return other


def _mapping(value: Any, path: str) -> dict[str, Any]:
    found = opened(value)
    if isinstance(found, dict):
        return found
    if not isinstance(value, str) or value == NULL:
        raise ConfigError(f"--set {path}={value} and --set {path}.KEY=VALUE contradict each other: leave out one.")
    return {"name": value}
