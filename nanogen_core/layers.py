"""Configurations as layers: what the core, the task, the components, the method and the user say, later over earlier.

A slot is a name or `{"name": ..., option: value}`; a group of components is a mapping of name to options, or a list.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from nanogen_core.errors import listing, near_miss

SLOTS = (
    "task",
    "dataset",
    "encoder",
    "conditioner",
    "tokenizer",
    "backbone",
    "objective",
    "sampler",
    "stage",
    "optimizer",
    "schedule",
)
GROUPS = ("auxiliary", "guidance", "metric")
SCALARS = {"method": str, "image_size": int, "seed": int}
SECTIONS = ("train",)
KEYS = (*SCALARS, *SLOTS, *GROUPS, *SECTIONS, "per_task")

Layer = dict[str, Any]


def normalise(raw: Mapping[str, Any], problems: list[str]) -> Layer:
    """A configuration as it was written, in the one form that merging knows. Appends what is wrong to `problems`."""
    layer: Layer = {}
    for key, value in raw.items():
        if key in SLOTS:
            layer[key] = _slot(key, value, problems)
        elif key in GROUPS:
            layer[key] = _group(key, value, problems)
        elif key in SCALARS:
            layer[key] = _scalar(key, value, problems)
        elif key in SECTIONS:
            layer[key] = _mapping(key, value, problems)
        elif key != "per_task":
            problems.append(f"{key}: unknown key.{near_miss(key, KEYS)} Known: {listing(KEYS)}.")
    return layer


def named(raw: Mapping[str, Any]) -> Layer:
    """A configuration whose plain names are written as mappings, so that options can be laid over them."""
    slots = {key: {"name": value} for key, value in raw.items() if key in SLOTS and isinstance(value, str)}
    groups: Layer = {key: {value: {}} for key, value in raw.items() if key in GROUPS and isinstance(value, str)}
    return {**raw, **slots, **groups}


def for_task(raw: Mapping[str, Any], task: str, problems: list[str]) -> Layer:
    """A configuration with its `per_task` part for this task laid over it."""
    layer = normalise(raw, problems)
    overlays = _mapping("per_task", raw.get("per_task", {}), problems)
    overlay = _mapping(f"per_task.{task}", overlays.get(task, {}), problems)
    return merge([layer, normalise(overlay, problems)])


def merge(layers: Iterable[Layer]) -> Layer:
    """Later layers over earlier ones. Options of a component are dropped where a later layer names another one."""
    result: Layer = {}
    for layer in layers:
        for key, value in layer.items():
            result[key] = _over(result.get(key), value)
    return result


def _over(low: Any, high: Any) -> Any:
    if not isinstance(low, dict) or not isinstance(high, dict):
        return high
    if "name" in high and _short(high) != _short(low):
        return high
    return {**low, **{key: _over(low.get(key), value) for key, value in high.items()}}


def _short(slot: dict[str, Any]) -> str:
    """The name without the distribution that may stand before it."""
    return str(slot.get("name", "")).rpartition(":")[2]


def _slot(key: str, value: Any, problems: list[str]) -> Any:
    if isinstance(value, str):
        return {"name": value}
    if isinstance(value, Mapping) and isinstance(value.get("name", ""), str):
        return dict(value)
    problems.append(f"{key}: expected a name or a mapping with a `name`, got {value!r}")
    return {}


def _group(key: str, value: Any, problems: list[str]) -> dict[str, Any]:
    if isinstance(value, str):
        return {value: {}}
    if isinstance(value, Mapping):
        return {name: _options(f"{key}.{name}", options, problems) for name, options in value.items()}
    if isinstance(value, (list, tuple)):
        slots = [_slot(f"{key}[{index}]", item, problems) for index, item in enumerate(value)]
        return {slot.pop("name", ""): slot for slot in map(dict, slots)}
    problems.append(f"{key}: expected names, or a mapping of names to options, got {value!r}")
    return {}


def _options(path: str, value: Any, problems: list[str]) -> Any:
    """The options of one member; None stands for a member that a later layer takes away."""
    return None if value is None else _mapping(path, value, problems)


def _mapping(path: str, value: Any, problems: list[str]) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    problems.append(f"{path}: expected a mapping of options, got {value!r}")
    return {}


def _scalar(key: str, value: Any, problems: list[str]) -> Any:
    kind = SCALARS[key]
    if value is not None and type(value) is not kind:
        problems.append(f"{key}: expected {'a text' if kind is str else 'a whole number'}, got {value!r}")
        return None
    return value
