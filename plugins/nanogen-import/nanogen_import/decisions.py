"""Lists the decisions of an import with their sources, and raises errors about missing decisions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from nanogen_core.config import Resolved
from nanogen_core.config_layers import Layer
from nanogen_core.errors import ConfigError, listing
from nanogen_core.kinds import groups
from nanogen_import.candidates import Candidate, in_effect, shown
from nanogen_import.checkpoint import Undecided

#: Configuration keys that affect samples, in printing order.
PRINTED_KEYS = (
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
Sources = Sequence[tuple[str, Mapping[str, Any]]]  # name and configuration layer, highest priority first


class Decision(NamedTuple):
    """One option of the imported pipeline, and the source of its value."""

    key: str
    value: str
    source: str

    def __str__(self) -> str:
        return f"{self.key}: {self.value} ({self.source})"


def decisions(
    resolved: Resolved, parts: Mapping[str, Any], sources: Sources, undecided: Sequence[Undecided]
) -> list[Decision]:
    """Return the options that one of `sources` sets, and all options of guidance, sampler and undecided choices.

    An option that is None is left out, unless None is a valid choice.

    Args:
        resolved: Configuration of the imported pipeline.
        parts: Parts of the pipeline. A part may know the effective value of an undecided option that is None.
        sources: Configuration layers with their names, highest priority first.
        undecided: Choices that the tensors of the checkpoint do not determine.
    """
    options = {f"{item.slot}.{option}": item for item in undecided for option in item.options}
    always = {item.slot for item in undecided} | options.keys()
    values = resolved.as_dict()
    found = []
    for key, value in flat({key: values[key] for key in PRINTED_KEYS if key in values}):
        source = _source(key, sources)
        if source == DEFAULT and key not in always and key.partition(".")[0] not in ALL_OPTIONS:
            continue
        if value is None and key in options:
            slot, _, option = key.partition(".")
            value = in_effect(resolved.slots[slot].config, parts[slot], option)
        if value is not None or (key in options and options[key].null):
            found.append(Decision(key, shown(value), source))
    if not resolved.groups["guidance"]:
        named = [source for source, layer in sources if "guidance" in layer]
        found.append(Decision("guidance", "none", next(iter(named), DEFAULT)))
    return found


def still_open(items: Sequence[Undecided], own: Layer, resolved: Resolved | None) -> list[Undecided]:
    """Return the choices that a configuration does not make.

    Args:
        items: Choices that the tensors do not determine.
        own: The configuration, without defaults.
        resolved: Resolved configuration, which lists the options of components; None if components are missing.
    """
    return [item for item in items if not _decided(item, own, resolved)]


def refuse_open(file: object, items: Sequence[Undecided], fitting: Sequence[Candidate], hint: str = "") -> None:
    """Raise ConfigError if choices are missing.

    Args:
        file: The checkpoint, for the message.
        items: The missing choices.
        fitting: Recipes that match the checkpoint. The message lists their values.
        hint: Additional sentence, which begins with a space.
    """
    if not items:
        return
    if not any(item.by_recipe for item in items):
        keys = listing(f"{item.slot}.{option}" for item in items for option in item.options)
        raise ConfigError(f"The tensors of {file} do not determine {_words(items)}: set {keys} (--set KEY=VALUE).")
    lines = "".join(f"\n  --recipe {c.recipe}: {' '.join(c.options_for(items))}" for c in fitting)
    fits = f"Recipes that match the file:{lines}" if fitting else "No installed recipe matches the file."
    raise ConfigError(
        f"The tensors of {file} do not determine {_words(items)}.{hint} Give the recipe of the training (--recipe"
        f" NAME), the published configuration (--config FILE.yaml), or each option (--set KEY=VALUE). {fits}"
    )


def _decided(item: Undecided, own: Layer, resolved: Resolved | None) -> bool:
    if item.slot in groups():
        # an objective with learned guidance removes members of a group, which then need not be given
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
    """Yield (dotted key, value) of each option in nested mappings. A component's name has the key of its slot."""
    if not isinstance(values, Mapping):
        yield key, values
        return
    for name, value in values.items():
        inner = key if name == "name" and key else f"{key}.{name}" if key else name
        yield from flat(value, inner)


def _source(key: str, sources: Sources) -> str:
    return next((source for source, layer in sources if _has_value(layer, key.split("."))), DEFAULT)


def _has_value(layer: Mapping[str, Any], path: Sequence[str]) -> bool:
    """Return whether a layer has a value at a path. The path of a slot stands for the name of its component."""
    value: Any = layer
    for part in path:
        if not isinstance(value, Mapping) or part not in value:
            return False
        value = value[part]
    return not isinstance(value, Mapping) or "name" in value
