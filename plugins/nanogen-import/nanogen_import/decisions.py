"""What an import decided, and from where; and what nobody decided, which is an error."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from nanogen_core.config import Resolved
from nanogen_core.config_layers import Layer
from nanogen_core.errors import ConfigError, listing
from nanogen_core.kinds import groups
from nanogen_import.candidates import Candidate, in_effect, shown
from nanogen_import.checkpoint import Undecided

#: The keys that decide what a pipeline samples, in the order in which they are told.
TOLD_KEYS = (
    "task",
    "method",
    "image_size",
    "tokenizer",
    "conditioner",
    "encoder",
    "backbone",
    "objective",
    "auxiliary",
    "guidance",
    "sampler",
)
ALL_OPTIONS = ("guidance", "sampler")
DEFAULT = "default"
Sources = Sequence[tuple[str, Mapping[str, Any]]]  # name and layer, the highest first


class Decision(NamedTuple):
    """One option of the imported pipeline, and who decided it."""

    key: str
    value: str
    source: str

    def __str__(self) -> str:
        return f"{self.key}: {self.value} ({self.source})"


def decisions(
    resolved: Resolved, parts: Mapping[str, Any], sources: Sources, asked: Sequence[Undecided]
) -> list[Decision]:
    """Return every option that somebody decided, and all that the checkpoint asked for, default or not.

    Args:
        resolved: the configuration of the imported pipeline.
        parts: its parts, for numbers that they derive.
        sources: whoever said something.
        asked: what the checkpoint leaves open.
    """
    options = {f"{item.slot}.{option}": item for item in asked for option in item.options}
    always = {item.slot for item in asked} | options.keys()
    values = resolved.as_dict()
    found = []
    for key, value in flat({key: values[key] for key in TOLD_KEYS if key in values}):
        source = _source(key, sources)
        if source == DEFAULT and key not in always and key.partition(".")[0] not in ALL_OPTIONS:
            continue
        if value is None and key in options:
            slot, _, option = key.partition(".")
            value = in_effect(resolved.slots[slot].config, parts[slot], option)
        if value is not None or (key in options and options[key].null):
            found.append(Decision(key, shown(value), source))
    if not resolved.groups["guidance"]:
        said = [source for source, layer in sources if "guidance" in layer]
        found.append(Decision("guidance", "none", next(iter(said), DEFAULT)))
    return found


def still_open(items: Sequence[Undecided], own: Layer, resolved: Resolved | None) -> list[Undecided]:
    """Return what `own`, the user's configuration without defaults, leaves open.

    `resolved` tells which options a component has; None: nobody named the component yet.
    """
    return [item for item in items if not _decided(item, own, resolved)]


def refuse_open(file: object, items: Sequence[Undecided], fitting: Sequence[Candidate], hint: str = "") -> None:
    """Raise ConfigError where something is open, with the recipes that fit and what they say of it."""
    if not items:
        return
    if not any(item.by_recipe for item in items):
        keys = listing(f"{item.slot}.{option}" for item in items for option in item.options)
        raise ConfigError(f"The tensors of {file} do not tell its {_words(items)}: set {keys} (--set KEY=VALUE).")
    lines = "".join(f"\n  --recipe {c.recipe}: {' '.join(c.answers(items))}" for c in fitting)
    fits = f"The recipes that fit its shapes:{lines}" if fitting else "No installed recipe fits its shapes."
    raise ConfigError(
        f"The tensors of {file} do not tell its {_words(items)}.{hint} Name the recipe that it was trained with"
        " (--recipe NAME), give its published configuration (--config FILE.yaml), or set each of them (--set"
        f" KEY=VALUE). {fits}"
    )


def _decided(item: Undecided, own: Layer, resolved: Resolved | None) -> bool:
    if item.slot in groups():
        # an objective that learns guidance takes a group's member away, which is then not asked for
        return item.slot in own or (resolved is not None and bool(resolved.removed[item.slot]))
    if item.by_method and "method" in own:
        return True
    slot = own.get(item.slot, {})
    if resolved is not None:
        config = resolved.slots[item.slot].config
        options = [option for option in item.options if hasattr(config, option)]
        if not options:
            return "name" in slot or "method" in own
    else:
        options = list(item.options)
    return any(option in slot and (item.null or slot[option] is not None) for option in options)


def _words(items: Sequence[Undecided]) -> str:
    *rest, last = [item.what for item in items]
    return f"{', '.join(rest)} and {last}" if rest else last


def flat(values: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """The options of nested mappings by dotted keys. A component's name has the key of its slot."""
    if not isinstance(values, Mapping):
        yield key, values
        return
    for name, value in values.items():
        inner = key if name == "name" and key else f"{key}.{name}" if key else name
        yield from flat(value, inner)


def _source(key: str, sources: Sources) -> str:
    return next((source for source, layer in sources if _says(layer, key.split("."))), DEFAULT)


def _says(layer: Mapping[str, Any], path: Sequence[str]) -> bool:
    """Whether a layer has a value at a path; a slot's own path is its name's."""
    value: Any = layer
    for part in path:
        if not isinstance(value, Mapping) or part not in value:
            return False
        value = value[part]
    return not isinstance(value, Mapping) or "name" in value
