"""Normalises configuration layers to one form and merges them. Later layers override earlier ones.

A file gives a slot as a name or a mapping `{"name": ..., option: value}`. It gives a group as a name, a list of names
and such mappings, or a mapping of names to options. In a normalised layer, a slot is a mapping or `Given`. A group maps
each name to options, to `Given`, or to None, which removes the component.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from attrs import fields_dict, frozen

from nanogen_core.errors import ConfigError, listing, near_miss, shown
from nanogen_core.kinds import groups, sections, slots
from nanogen_core.registry import attrs_class, known_distributions, registry
from nanogen_core.validators import between, pixels, seed_number
from nanogen_files.typed import NULL, Typed, opened, read

SCALARS: Mapping[str, Any] = {"method": str | None, "image_size": int, "seed": int}
BOUNDS: Mapping[str, between] = {"image_size": pixels, "seed": seed_number}

Layer = dict[str, Any]
OBJECT = "object"  # key of a slot in a saved configuration whose part was an object; its value is the class name


@frozen
class Absent:
    """Placeholder in a saved configuration for an object that the caller must give again. `of` names its class."""

    of: str


@frozen
class Given:
    """An object that the caller gave for a slot or a member of a group, instead of a name and options."""

    instance: Any


def keys() -> tuple[str, ...]:
    """Return all valid top-level keys of a configuration."""
    return (*SCALARS, *slots(), *groups(), *sections(), "per_task")


def normalise(raw: Mapping[str, Any], problems: list[str], *, path: str = "") -> Layer:
    """Convert a configuration to the normalised form. Appends one message per mistake to `problems`; the path in a
    message begins with `path`, such as "per_task.t2i.".
    """
    layer: Layer = {}
    for key, value in raw.items():
        where = f"{path}{key}"
        if key in slots():
            layer[key] = _slot(where, value, problems)
        elif key in groups():
            layer[key] = _group(where, value, problems)
        elif key in SCALARS:
            layer[key] = _scalar(key, where, value, problems)
        elif key in sections():
            layer[key] = _mapping(where, value, problems)
        elif key != "per_task" or path:
            problems.append(_unknown(key, path))
    return {key: value for key, value in layer.items() if value is not INVALID}


def named(raw: Mapping[str, Any]) -> Layer:
    """Expand plain component names to mappings, so that options can be merged into them."""
    by_slot = {key: {"name": value} for key, value in raw.items() if key in slots() and isinstance(value, str)}
    by_group: Layer = {key: {value: {}} for key, value in raw.items() if key in groups() and isinstance(value, str)}
    return {**raw, **by_slot, **by_group}


def for_task(raw: Mapping[str, Any], task: str, problems: list[str]) -> Layer:
    """Normalise a configuration and merge `per_task[task]` into it."""
    return merge(split(raw, task, problems))


def split(raw: Mapping[str, Any], task: str, problems: list[str]) -> list[Layer]:
    """Normalise a configuration to two layers: the keys for all tasks, and the `per_task` section for this task."""
    overlays = _mapping("per_task", raw.get("per_task", {}), problems)
    overlay = _mapping(f"per_task.{task}", overlays.get(task, {}), problems)
    if "task" in overlay:
        problems.append(f"per_task.{task}.task: set `task` at the top level, not inside `per_task`")
    return [normalise(raw, problems), normalise(overlay, problems, path=f"per_task.{task}.")]


def merge(layers: Iterable[Layer]) -> Layer:
    """Merge normalised layers. A layer that selects another component drops the slot's earlier options."""
    result: Layer = {}
    for layer in layers:
        for key, value in layer.items():
            result[key] = members(result.get(key, {}), value) if key in groups() else over(result.get(key), value)
    return result


def over(low: Any, high: Any, lost: list[str] | None = None, path: str = "") -> Any:
    """Return `high` merged over `low`. Mappings merge key by key; other values of `high` replace those of `low`.

    A string is a component's `name` if the other value is a mapping. If `high` has a `name` that `low` does not have,
    the result is `high` alone. The paths of the dropped options, which begin with `path`, are appended to `lost`.
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
    return name if isinstance(name, str) else ""  # a name of another type is reported by `_slot`


def members(
    low: Mapping[str, Any], high: Mapping[str, Any], lost: list[str] | None = None, path: str = ""
) -> dict[str, Any]:
    """Merge the components of a group, `high` over `low`. Arguments are as in `over`. The names `cfg` and
    `nanogen-core:cfg` mean the same component."""
    result = dict(low)
    for name, options in high.items():
        known = [each for each in result if same(each, name)]
        old = known[0] if len(known) == 1 else name
        new = name if ":" in name else old
        value = over(result.get(old), options, lost, f"{path}.{old}")
        result = {**{new if each == old else each: item for each, item in result.items()}, new: value}
    return result


def same(one: str, other: str) -> bool:
    """Return whether two names may mean the same component: `cfg` and `a:cfg` do, `a:cfg` and `b:cfg` do not."""
    (at, _, name), (at_other, _, name_other) = one.rpartition(":"), other.rpartition(":")
    return name == name_other and (not at or not at_other or at == at_other)


class _Invalid:
    """Marks a value whose mistake was reported. The value of an earlier layer then applies."""


INVALID = _Invalid()


def _unknown(key: Any, path: str) -> str:
    if not isinstance(key, str):
        return f"{path}{shown(key)}: a key must be a string"
    inside = [f"{name}.{key}" for name, of in registry().sections.items() if key in fields_dict(attrs_class(of))]
    near = f" Did you mean {inside[0]!r}?" if inside and not path else near_miss(key, keys())
    return f"{path}{key[:64]}: unknown key.{near}{_installation(key)} Known: {listing(keys())}."


def _installation(key: str) -> str:
    """Return the advice to install the distribution that defines a key; empty if there is none."""
    distribution = known_distributions().get(key)
    return f" To use {key!r}, run `pip install {distribution}`." if distribution else ""


def _slot(path: str, value: Any, problems: list[str]) -> Any:
    value = _opened(path, value, problems)
    if isinstance(value, str):
        return {"name": str(value)}
    if isinstance(value, Mapping) and set(value) == {OBJECT} and isinstance(value[OBJECT], str):
        return Given(Absent(value[OBJECT]))
    if isinstance(value, Mapping) and isinstance(value.get("name", ""), str):
        name = {"name": str(value["name"])} if "name" in value else {}
        return {**_string_keys(path, value, problems), **name}
    if isinstance(value, type):
        problems.append(f"{path}: {value.__name__} is a class; give an instance of it")
    elif is_object(value):
        return Given(value)
    elif value is not INVALID:
        problems.append(f"{path}: expected a name or a mapping with a `name`, got {shown(value)}")
    return INVALID


def is_object(value: Any) -> bool:
    """Return whether a value is an object that a caller built, not a plain value of a file."""
    return value is not None and not isinstance(value, (str, int, float, bool, list, tuple, Mapping, type))


def _group(path: str, value: Any, problems: list[str]) -> Any:
    value = _opened(path, value, problems)
    if isinstance(value, str):
        return {str(value): {}}
    if isinstance(value, Mapping):
        named = _string_keys(path, value, problems)
        found = {name: _options(f"{path}.{name}", options, problems) for name, options in named.items()}
        return members({}, {name: options for name, options in found.items() if options is not INVALID})
    if isinstance(value, (list, tuple)):
        return _listed(path, value, problems)
    if is_object(value):
        return {type(value).__name__: Given(value)}
    if value is not INVALID:
        what = f"{shown(value)}{_no_object(value)}"
        problems.append(f"{path}: expected names, or a mapping of names to options, got {what}")
    return INVALID


def _listed(path: str, values: Iterable[Any], problems: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for index, item in enumerate(values):
        where = f"{path}[{index}]"
        slot = _slot(where, item, problems)
        if isinstance(slot, Given):
            slot = {"name": type(item).__name__, OBJECT: slot}
        if slot is not INVALID and not slot.get("name"):
            problems.append(f"{where}: `name` is missing")
        elif slot is not INVALID and any(same(slot["name"], name) for name in found):
            problems.append(f"{where}: {slot['name']!r} is listed twice")
        elif slot is not INVALID:
            found[slot["name"]] = slot.get(OBJECT) or {key: option for key, option in slot.items() if key != "name"}
    return found


def _options(path: str, value: Any, problems: list[str]) -> Any:
    """Return the options of a group's member, or Given for an object; None removes the member."""
    if value is None or (isinstance(value, Typed) and value == NULL):
        return None
    if is_object(value):
        return Given(value)
    if isinstance(value, Mapping) and set(value) == {OBJECT} and isinstance(value[OBJECT], str):
        return Given(Absent(value[OBJECT]))
    before = len(problems)
    options = _mapping(path, value, problems)
    return options if len(problems) == before else INVALID


def _mapping(path: str, value: Any, problems: list[str]) -> dict[str, Any]:
    value = _opened(path, value, problems)
    if isinstance(value, Mapping):
        return _string_keys(path, value, problems)
    if value is not INVALID:
        problems.append(f"{path}: expected a mapping of options, got {shown(value)}{_no_object(value)}")
    return {}


def _string_keys(path: str, value: Mapping[Any, Any], problems: list[str]) -> dict[str, Any]:
    """Drop and report keys that are not strings."""
    problems += [f"{path}: the key {shown(key)} must be a string" for key in value if not isinstance(key, str)]
    return {key: item for key, item in value.items() if isinstance(key, str)}


def _no_object(value: Any) -> str:
    if not is_object(value) and not isinstance(value, type):
        return ""
    return " (only components such as `backbone` can be objects, and these must be instances, not classes)"


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
