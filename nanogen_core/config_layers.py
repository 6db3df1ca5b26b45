"""Configurations as layers, later over earlier: the core, the task, the components, the method, and what users wrote.

A slot is a name or `{"name": ..., option: value}`. A group of components is a name, a list of names, or a mapping of
names to options. In a normalised layer a slot is a mapping or `Given`, a group is a mapping of names to mappings, and
None takes a member of a group away.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from attrs import frozen

from nanogen_core.errors import ConfigError, listing, near_miss, shown
from nanogen_core.kinds import groups, sections, slots
from nanogen_core.registry import known_distributions
from nanogen_core.validators import between, pixels, seed_number
from nanogen_files.typed import NULL, Typed, opened, read

SCALARS: Mapping[str, Any] = {"method": str | None, "image_size": int, "seed": int}
BOUNDS: Mapping[str, between] = {"image_size": pixels, "seed": seed_number}

Layer = dict[str, Any]
OBJECT = "object"  # in a saved configuration, the only key of a slot that held an object: the name of its class


@frozen
class Absent:
    """An object that a saved configuration had in a slot, by the name of its class. It must be given again."""

    of: str


@frozen
class Given:
    """An object that a caller built, in place of a slot's name and options."""

    instance: Any


def keys() -> tuple[str, ...]:
    """Every key that a configuration may have."""
    return (*SCALARS, *slots(), *groups(), *sections(), "per_task")


def normalise(raw: Mapping[str, Any], problems: list[str], *, path: str = "") -> Layer:
    """A configuration as it was written, in the one form that merging knows. Appends what is wrong to `problems`."""
    layer: Layer = {}
    for key, value in raw.items():
        place = f"{path}{key}"
        if key in slots():
            layer[key] = _slot(place, value, problems)
        elif key in groups():
            layer[key] = _group(place, value, problems)
        elif key in SCALARS:
            layer[key] = _scalar(key, place, value, problems)
        elif key in sections():
            layer[key] = _mapping(place, value, problems)
        elif key != "per_task" or path:
            problems.append(_unknown(key, path))
    return {key: value for key, value in layer.items() if value is not INVALID}


def named(raw: Mapping[str, Any]) -> Layer:
    """A configuration whose plain names are written as mappings, so that options can be laid over them."""
    by_slot = {key: {"name": value} for key, value in raw.items() if key in slots() and isinstance(value, str)}
    by_group: Layer = {key: {value: {}} for key, value in raw.items() if key in groups() and isinstance(value, str)}
    return {**raw, **by_slot, **by_group}


def for_task(raw: Mapping[str, Any], task: str, problems: list[str]) -> Layer:
    """A configuration with its `per_task` part for this task laid over it."""
    return merge(split(raw, task, problems))


def split(raw: Mapping[str, Any], task: str, problems: list[str]) -> list[Layer]:
    """A configuration as two layers: the one that holds for every task, and its `per_task` part for this one."""
    overlays = _mapping("per_task", raw.get("per_task", {}), problems)
    overlay = _mapping(f"per_task.{task}", overlays.get(task, {}), problems)
    if "task" in overlay:
        problems.append(f"per_task.{task}.task: the task is chosen above `per_task`, not inside it")
    return [normalise(raw, problems), normalise(overlay, problems, path=f"per_task.{task}.")]


def merge(layers: Iterable[Layer]) -> Layer:
    """Normalised layers, later over earlier. Options of a slot go where a later layer names another component."""
    result: Layer = {}
    for layer in layers:
        for key, value in layer.items():
            result[key] = members(result.get(key, {}), value) if key in groups() else over(result.get(key), value)
    return result


def over(low: Any, high: Any, lost: list[str] | None = None, path: str = "") -> Any:
    """One value over another. Mappings are merged, and a mapping without a name takes the name from below.

    Where both have names and these differ, nothing of `low` stays: its options are added to `lost`, by their paths.
    """
    if isinstance(high, str) and isinstance(low, Mapping) and "name" in low:
        high = {"name": high}
    if isinstance(low, str) and isinstance(high, Mapping):
        low = {"name": low}
    if not isinstance(high, Mapping) or not isinstance(low, Mapping):
        return high
    if "name" in high and not same(_text(low.get("name")), _text(high["name"])):
        if lost is not None:
            lost += [f"{path}.{key}" for key in low if key not in ("name", *high)]
        return high
    return {**low, **{key: over(low.get(key), value, lost, f"{path}.{key}") for key, value in high.items()}}


def _text(name: Any) -> str:
    return name if isinstance(name, str) else ""  # a name of another type is refused when it is read


def members(
    low: Mapping[str, Any], high: Mapping[str, Any], lost: list[str] | None = None, path: str = ""
) -> dict[str, Any]:
    """The members of a group over those of another. `cfg` and `nanogen-core:cfg` are one member."""
    result = dict(low)
    for name, options in high.items():
        known = [each for each in result if same(each, name)]
        old = known[0] if len(known) == 1 else name
        new = name if ":" in name else old
        value = over(result.get(old), options, lost, f"{path}.{old}")
        result = {**{new if each == old else each: item for each, item in result.items()}, new: value}
    return result


def same(one: str, other: str) -> bool:
    """Whether two names mean one component: `cfg` and `nanogen-core:cfg` do, `a:cfg` and `b:cfg` do not."""
    (at, _, name), (at_other, _, name_other) = one.rpartition(":"), other.rpartition(":")
    return name == name_other and (not at or not at_other or at == at_other)


class _Invalid:
    """Stands for a value that was reported, so that the layers below show through."""


INVALID = _Invalid()


def _unknown(key: Any, path: str) -> str:
    if not isinstance(key, str):
        return f"{path}{shown(key)}: a key must be a text"
    return f"{path}{key[:64]}: unknown key.{near_miss(key, keys())}{_brings(key)} Known: {listing(keys())}."


def _brings(key: str) -> str:
    """The distribution that brings a key which nothing installed knows."""
    brings = known_distributions().get(key)
    return f" `pip install {brings}` brings it." if brings else ""


def _slot(path: str, value: Any, problems: list[str]) -> Any:
    value = _opened(path, value, problems)
    if isinstance(value, str):
        return {"name": str(value)}
    if isinstance(value, Mapping) and set(value) == {OBJECT} and isinstance(value[OBJECT], str):
        return Given(Absent(value[OBJECT]))
    if isinstance(value, Mapping) and isinstance(value.get("name", ""), str):
        name = {"name": str(value["name"])} if "name" in value else {}
        return {**_texts(path, value, problems), **name}
    if isinstance(value, type):
        problems.append(f"{path}: {value.__name__} is a class: give an object that was made of it")
    elif is_object(value):
        return Given(value)
    elif value is not INVALID:
        problems.append(f"{path}: expected a name or a mapping with a `name`, got {shown(value)}")
    return INVALID


def is_object(value: Any) -> bool:
    """Whether a value stands for itself, as no plain value of a file does."""
    return value is not None and not isinstance(value, (str, int, float, bool, list, tuple, Mapping, type))


def _group(path: str, value: Any, problems: list[str]) -> Any:
    value = _opened(path, value, problems)
    if isinstance(value, str):
        return {str(value): {}}
    if isinstance(value, Mapping):
        named = _texts(path, value, problems)
        found = {name: _options(f"{path}.{name}", options, problems) for name, options in named.items()}
        return members({}, {name: options for name, options in found.items() if options is not INVALID})
    if isinstance(value, (list, tuple)):
        return _listed(path, value, problems)
    if value is not INVALID:
        what = f"{shown(value)}{_no_object(value)}"
        problems.append(f"{path}: expected names, or a mapping of names to options, got {what}")
    return INVALID


def _listed(path: str, values: Iterable[Any], problems: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for index, item in enumerate(values):
        place = f"{path}[{index}]"
        slot = _slot(place, item, problems)
        if isinstance(slot, Given):
            problems.append(f"{place}: expected a name or a mapping with a `name`, got {shown(item)}{_no_object(item)}")
        elif slot is not INVALID and not slot.get("name"):
            problems.append(f"{place}: `name` is missing")
        elif slot is not INVALID and any(same(slot["name"], name) for name in found):
            problems.append(f"{place}: {slot['name']!r} stands twice")
        elif slot is not INVALID:
            found[slot["name"]] = {key: option for key, option in slot.items() if key != "name"}
    return found


def _options(path: str, value: Any, problems: list[str]) -> Any:
    """The options of one member; None stands for a member that a later layer takes away."""
    if value is None or (isinstance(value, Typed) and value == NULL):
        return None
    before = len(problems)
    options = _mapping(path, value, problems)
    return options if len(problems) == before else INVALID


def _mapping(path: str, value: Any, problems: list[str]) -> dict[str, Any]:
    value = _opened(path, value, problems)
    if isinstance(value, Mapping):
        return _texts(path, value, problems)
    if value is not INVALID:
        problems.append(f"{path}: expected a mapping of options, got {shown(value)}{_no_object(value)}")
    return {}


def _texts(path: str, value: Mapping[Any, Any], problems: list[str]) -> dict[str, Any]:
    """The mapping without the keys that are no texts."""
    problems += [f"{path}: the key {shown(key)} must be a text" for key in value if not isinstance(key, str)]
    return {key: item for key, item in value.items() if isinstance(key, str)}


def _no_object(value: Any) -> str:
    if not is_object(value) and not isinstance(value, type):
        return ""
    return " (an object can stand for a slot such as `backbone`; register any other class in a plugin and name it)"


def _opened(path: str, value: Any, problems: list[str]) -> Any:
    try:
        return opened(value)
    except ConfigError as error:
        problems.append(f"{path}: {error}")
        return INVALID


def _scalar(key: str, path: str, value: Any, problems: list[str]) -> Any:
    kind = SCALARS[key]
    value = read(value, kind)
    if not isinstance(value, kind) or isinstance(value, bool):
        problems.append(f"{path}: expected {'an integer' if kind is int else 'a string'}, got {shown(value)}")
        return INVALID
    try:
        if key in BOUNDS:
            BOUNDS[key].check(path, value)
    except ValueError as error:
        problems.append(str(error))
        return INVALID
    return value
