"""Recipes that match the shapes of a checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from attrs import evolve, frozen

from nanogen_core import capabilities
from nanogen_core.assembly import Assembly
from nanogen_core.config import Resolved, combine, load_config, resolve
from nanogen_core.errors import NanoGenError
from nanogen_core.kinds import groups
from nanogen_core.registry import registry
from nanogen_core.specs import LatentSpec
from nanogen_import.checkpoint import Checkpoint, Undecided
from nanogen_import.user_options import task_layer


@frozen
class Candidate:
    """A recipe that matches a checkpoint.

    Attributes:
        recipe: Name of the recipe.
        resolved: Configuration of the recipe, for the checkpoint's task.
        parts: Parts that the recipe builds, for latents of the checkpoint's size.
    """

    recipe: str
    resolved: Resolved
    parts: Assembly

    def options_for(self, items: Sequence[Undecided]) -> list[str]:
        """Return the values that the recipe gives to undecided options, as `key=value`."""
        return [option for item in items if item.by_recipe for option in self._options_for(item)]

    def _options_for(self, item: Undecided) -> Iterator[str]:
        if item.slot in groups():
            members = self.resolved.groups[item.slot]
            scales = {name: getattr(part.config, "scale", None) for name, part in members.items()}
            yield from (f"{item.slot}.{name}.scale={scale:g}" for name, scale in scales.items() if scale is not None)
            return
        part = self.resolved.slots[item.slot]
        values = {option: in_effect(part.config, self.parts[item.slot], option) for option in item.options}
        if not any(hasattr(part.config, option) for option in item.options):
            yield f"{item.slot}={part.name}"
        yield from (f"{item.slot}.{option}={shown(value)}" for option, value in values.items() if value is not None)


def in_effect(config: Any, built: Any, option: str) -> Any:
    """Return the effective value of an option: the configured value, or a number that the component derived.

    If the configured value is None, the derived number is the component's attribute with the name of the option.
    Without such a number, the result is None.

    Args:
        config: Configuration of the component.
        built: The component.
        option: Name of the option.
    """
    value = getattr(config, option, None)
    if value is None and hasattr(config, option):
        derived = getattr(built, option, None)
        return derived if isinstance(derived, (int, float)) else None
    return value


def shown(value: Any) -> str:
    """Format a value as in `--set key=value`."""
    return f"{value:.6g}" if isinstance(value, float) else "null" if value is None else str(value)


def candidates(found: Checkpoint) -> list[Candidate]:
    """Return the recipes whose backbone and latents match the file, in alphabetical order."""
    return [candidate for recipe in sorted(registry().recipes) if (candidate := _candidate(found, recipe))]


def agreed(fitting: Sequence[Candidate], slot: str) -> str | None:
    """Return the name of the component in a slot if all candidates have the same one, else None."""
    names = {candidate.resolved.slots[slot].name for candidate in fitting}
    return names.pop() if len(names) == 1 else None


def same_family(found: Checkpoint, resolved: Resolved) -> bool:
    """Return whether the configuration's backbone has the importer that read the file."""
    backbone = registry().component("backbone", found.suggested["backbone"]["name"]).what
    chosen = resolved.slots.get("backbone")
    return chosen is not None and chosen.chosen.component.importer == backbone.importer


def _candidate(found: Checkpoint, recipe: str) -> Candidate | None:
    task, backbone = found.suggested["task"], found.suggested["backbone"]["name"]
    try:
        raw = load_config(recipe)
        own, resolved = task_layer(raw, task), resolve(combine(raw, {"task": task}))
        parts = Assembly(resolved)
        latent = parts["latent"]
        other_backbone = own.get("backbone", {}).get("name", backbone).rpartition(":")[2] != backbone
        contradicts = other_backbone or found.conflicts(own)
    except NanoGenError:  # parts of the recipe are not installed
        return None
    wanted = capabilities.wanted(resolved.parts(), "backbone") & found.structural
    fits = same_family(found, resolved) and wanted == found.wanted and not contradicts
    if not fits or not _same(latent, found.latent, "image_size" in own):
        return None
    parts.supply("latent", evolve(latent, height=found.latent.height, width=found.latent.width))
    return Candidate(recipe, resolved, parts)


def _same(latent: LatentSpec, trained: LatentSpec, sized: bool) -> bool:
    """Return whether channels and class token are equal, and the shape if the recipe sets the image size."""
    equal = (latent.channels, latent.cls_token_width) == (trained.channels, trained.cls_token_width)
    return equal and (not sized or latent.shape == trained.shape)
