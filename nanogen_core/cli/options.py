"""Options that several verbs share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from nanogen_core import validators
from nanogen_core.config import Resolved, layered, resolve
from nanogen_core.errors import ConfigError, shown
from nanogen_core.kinds import groups, slots
from nanogen_files.typed import NULL, Typed, opened

DEPTH = 20  # keys in one path


class Number(click.ParamType):  # type: ignore[type-arg]
    """A number within limits; NaN and infinity lie within none."""

    def __init__(self, kind: type[int] | type[float], limits: validators.between):
        self.kind, self.limits = kind, limits
        self.name = "integer" if kind is int else "float"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            number = self.kind(value)
        except ValueError:
            self.fail(f"{shown(value)} is no {'whole number' if self.kind is int else 'number'}.", param, ctx)
        if not self.limits.holds(number):
            self.fail(f"{shown(number)} is out of range: it must be {self.limits}.", param, ctx)
        return number


#: What a verb keeps in memory at once.
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
    """Adds `--set key.path=value`, any number of times."""
    return click.option(
        "--set", "settings", multiple=True, metavar="KEY.PATH=VALUE", help="Over the configuration; repeatable."
    )(command)


def override_layer(settings: tuple[str, ...]) -> dict[str, Any]:
    """`("train.steps=10", "task=t2i")` as one layer, `{"train": {"steps": "10"}, "task": {"name": "t2i"}}`.

    The order does not matter, but that the last one counts of two with the same path. Values are `Typed`: the type of
    the option reads them. Raises ConfigError for a setting of another form, and for two that contradict each other.
    """
    layer: dict[str, Any] = {}
    for setting in settings:
        path, equals, text = setting.partition("=")
        keys = path.split(".")
        if not equals or not all(keys) or len(keys) > DEPTH:
            raise ConfigError(f"--set takes KEY.PATH=VALUE such as train.steps=100, not {shown(setting)}.")
        value: Any = Typed(text)
        for place in reversed(range(len(keys))):
            value = {keys[place]: _part(keys[: place + 1], value)}
        layer = _together(layer, value, "")
    return layer


def resolved(config: str, settings: tuple[str, ...]) -> Resolved:
    """The configuration of a file or recipe, with the command line's settings over it, resolved."""
    return resolve(*layered(config, override_layer(settings)))


def _part(keys: list[str], value: Any) -> Any:
    """The name of a slot, or the names of a group, as the mapping that options can be laid into."""
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


def _together(one: Any, other: Any, path: str) -> Any:
    """Two settings as one, whichever came first: a text beside keys is the name of the part that has these keys."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = dict.fromkeys([*one, *other])
        return {key: _both(key, one, other, f"{path}.{key}".lstrip(".")) for key in keys}
    if isinstance(one, dict) or isinstance(other, dict):
        return _together(_mapping(one, path), _mapping(other, path), path)
    return other


def _both(key: str, one: dict[str, Any], other: dict[str, Any], path: str) -> Any:
    if key in one and key in other:
        return _together(one[key], other[key], path)
    return one[key] if key in one else other[key]


def _mapping(value: Any, path: str) -> dict[str, Any]:
    found = opened(value)
    if isinstance(found, dict):
        return found
    if not isinstance(value, str) or value == NULL:
        raise ConfigError(f"--set {path}={value} and --set {path}.KEY=VALUE contradict each other: leave out one.")
    return {"name": value}
