"""A published checkpoint as a pipeline: the plugin of a backbone reads the file, this adds the other parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

from nanogen_core.assembly import Assembly
from nanogen_core.config import Resolved, import_object, resolve
from nanogen_core.config_layers import Layer, merge, named
from nanogen_core.errors import ConfigError, DataError, listing
from nanogen_core.pipeline import Pipeline, load_exactly
from nanogen_core.registry import registry
from nanogen_core.specs import LatentSpec
from nanogen_import.candidates import Candidate, agreed, candidates, same_family, shown
from nanogen_import.checkpoint import Checkpoint, Importer, Undecided, Unrecognised
from nanogen_import.checks import check
from nanogen_import.decisions import Decision, decisions, flat, refuse_open, still_open
from nanogen_import.given import SETTINGS, Given, given, said
from nanogen_import.weights import WeightsFile, read_weights

SHAPES = "the file's tensors"
AGREED = "every recipe that fits"
SLOTS_OF_METHODS = ("tokenizer", "objective")


@frozen
class Imported:
    """A pipeline with the weights of a checkpoint, and what was decided on the way."""

    pipeline: Pipeline
    decisions: Sequence[Decision]


def import_checkpoint(file: str | Path, config: Any = None, **options: Any) -> Pipeline:
    """Return the pipeline of a published checkpoint; the arguments are those of `import_file`."""
    return import_file(file, config, **options).pipeline


def import_file(
    file: str | Path,
    config: str | Path | Mapping[str, Any] | None = None,
    *,
    recipe: str | None = None,
    settings: Mapping[str, Any] | None = None,
    architecture: Mapping[str, Any] | None = None,
    weights: str = "ema",
) -> Imported:
    """Read a published checkpoint. What its tensors do not decide must be said; nothing is guessed.

    Args:
        file: safetensors, or a file of `torch.save` without Python objects in it.
        config: a configuration of NanoGen, or the published one of the checkpoint: a YAML file or a mapping.
        recipe: the name of a recipe, in place of `config`.
        settings: options over either.
        architecture: the description of the network (JSON), for what the shapes do not tell.
        weights: "ema" or "model".

    Raises:
        DataError: the file is missing or damaged, holds numbers that are not finite, or is of no known layout.
        ConfigError: something is not decided, or the configuration contradicts the file.
    """
    if architecture is not None and not isinstance(architecture, Mapping):
        raise DataError("The description of the network (--architecture) must hold keys and values.")
    user = given(config, recipe, settings)
    found = _read(read_weights(file), weights, architecture, user.foreign)
    importing = _Import(Path(file), found, user)
    pipeline = importing.pipeline()
    return Imported(pipeline, importing.decisions(pipeline))


class _Import:
    """One import: the layers of its configuration, and the checks between them and the file."""

    def __init__(self, file: Path, found: Checkpoint, user: Given):
        self.file = file
        self.found = found
        self.user = user
        self.task = _task(found, user)
        self.combined = user.combined(self.task if user.recipe else None)
        self.own = said(self.combined, self.task)
        self.fitting: Sequence[Candidate] = () if user.complete else candidates(found)
        self.agreed = {slot: {"name": name} for slot in SLOTS_OF_METHODS if (name := self._agreed(slot))}
        self.derived: Layer = {}

    def pipeline(self) -> Pipeline:
        """The pipeline with the file's weights."""
        self._refuse_conflicts()
        resolved = self._resolved()
        if "image_size" not in self._layers():
            self.derived = {"image_size": _image_size(resolved, self.found.latent)}
        resolved = resolve(self._layers())
        pipeline = Pipeline(resolved, _assembly(resolved, self.found))
        self._check(pipeline)
        expected = pipeline.backbone.state_dict()
        load_exactly(pipeline.backbone, self.found.state, expected=expected, source=self.file)
        return pipeline

    def decisions(self, pipeline: Pipeline) -> list[Decision]:
        """What was decided, and by whom."""
        taken = "the only set, which has no name" if self.found.weights is None else self.found.weights
        sources: list[tuple[str, Mapping[str, Any]]] = [*self.user.layers(self.task)]
        sources += [(self.found.configured_by or self.user.source, said(self.found.configured, self.task))]
        sources += [(AGREED, self.agreed), (SHAPES, self.found.suggested), (SHAPES, self.derived)]
        told = decisions(pipeline.config, pipeline.parts, [*sources, *_brought(pipeline.config)], self.found.undecided)
        notes = [Decision("note", note, SHAPES) for note in self.found.notes]
        return [Decision("weights", taken, str(self.file)), *told, *notes]

    def _layers(self) -> Layer:
        """Every layer over the ones below it: the file, what recipes agree on, then what was said."""
        below = [self._suggested(), self.agreed, self.derived, self.found.configured]
        return merge([*map(named, below), self.combined])

    def _suggested(self) -> Mapping[str, Any]:
        """What the file suggests; its conditioner belongs to the task that it suggests, or to one with the same."""
        suggested = self.found.suggested
        usual = said(registry().component("task", self.task).what.defaults, self.task).get("conditioner", {})
        fits = usual.get("name") == suggested.get("conditioner", {}).get("name")
        return {key: value for key, value in suggested.items() if key != "conditioner" or fits}

    def _agreed(self, slot: str) -> str | None:
        """The component of a slot that nobody names, where all recipes that fit have the same one."""
        named_by = merge([said(self.found.configured, self.task), self.own])
        if self.user.complete or "method" in self.own or "name" in named_by.get(slot, {}):
            return None
        return agreed(self.fitting, slot)

    def _resolved(self) -> Resolved:
        """The configuration with the image size still to find. Raises ConfigError where something is open."""
        layers = self._layers()
        items = [item for item in self.found.undecided if not (self.user.complete and item.by_recipe)]
        said_or_agreed = merge([self.agreed, said(self.found.configured, self.task), self.own])
        nameless = [slot for slot in SLOTS_OF_METHODS if "name" not in said(layers, self.task).get(slot, {})]
        if nameless and "method" not in layers:
            self._refuse_open(still_open(items, said_or_agreed, None))
        resolved = resolve(layers)
        self._refuse_open(still_open(items, said_or_agreed, resolved))
        self._refuse(self.found.conflicts(resolved.as_dict()), self._source)
        return resolved

    def _refuse_open(self, items: Sequence[Undecided]) -> None:
        refuse_open(self.file, items, self.fitting, self.found.hint)

    def _check(self, pipeline: Pipeline) -> None:
        """Raises ConfigError, with the recipes that fit, where another part gives the backbone something else."""
        try:
            check(pipeline, self.found)
        except ConfigError as error:
            fitting = listing(candidate.recipe for candidate in candidates(self.found))
            fits = f"The recipes that fit the file: {fitting}." if fitting else "No installed recipe fits the file."
            raise ConfigError(f"{error} {fits}") from error

    def _refuse_conflicts(self) -> None:
        """Raises ConfigError where what was said of the backbone contradicts the file."""
        kind = self.found.suggested["backbone"]["name"]
        name = self.own.get("backbone", {}).get("name", kind).rpartition(":")[2]
        recipe = resolve(self.user.alone(self.task)) if self.user.recipe else None
        if recipe and name == kind and not same_family(self.found, recipe):
            name = recipe.slots["backbone"].name if "backbone" in recipe.slots else "none"
        if name != kind:
            raise ConfigError(f"{self._source} has the backbone {name!r}, and {self.file} is a {kind!r}.")
        self._refuse(self.found.conflicts(said(self.user.settings, self.task)), SETTINGS)
        self._refuse(self.found.conflicts(self.own), self._source)
        self._refuse_other_words()

    def _refuse_other_words(self) -> None:
        """Raises ConfigError where a recipe or a configuration says something else than the file. --set decides."""
        if self.found.configured_by is None:
            return
        words, over = (dict(flat(said(raw, self.task))) for raw in (self.found.configured, self.user.settings))
        others = dict(flat(said(self.user.raw, self.task)))
        for key in sorted(words.keys() & others.keys() - over.keys()):
            if others[key] not in (None, words[key]):
                raise ConfigError(
                    f"{self._source} has {key}={shown(others[key])}, and {self.found.configured_by} ({self.file}) say"
                    f" {shown(words[key])}: add --set {key}=VALUE with the right one."
                )

    def _refuse(self, conflicts: Sequence[str], source: str) -> None:
        if conflicts:
            raise ConfigError(f"{source} contradicts {self.file}: {'; '.join(conflicts)}.")

    @property
    def _source(self) -> str:
        return self.user.source or SETTINGS


def _task(found: Checkpoint, user: Given) -> str:
    """The task that was said. A recipe is good for another task where its own takes other conditions than the file."""
    suggested: str = found.suggested["task"]
    for raw in (user.settings, {} if user.recipe else user.raw):
        if name := said(raw, suggested).get("task", {}).get("name"):
            return str(name)
    if not user.recipe:
        return suggested
    own, other = resolve(user.raw), resolve(user.alone(suggested))
    return own.task if own.slots["conditioner"].name == other.slots["conditioner"].name else suggested


def _read(
    file: WeightsFile, weights: str, architecture: Mapping[str, Any] | None, configuration: Mapping[str, Any] | None
) -> Checkpoint:
    """What the first importer that knows the layout makes of the file."""
    refused: list[str] = []
    for reference in _importers():
        importer: Importer = import_object(reference)
        try:
            return importer(file, weights=weights, architecture=architecture, configuration=configuration)
        except Unrecognised as error:
            refused.append(str(error))
    if not refused:
        raise ConfigError("No installed backbone reads published checkpoints.")
    raise DataError(f"{file.path} holds no network that an installed backbone reads: {'; '.join(refused)}.")


def _importers() -> Iterator[str]:
    offers = [offer for kind in registry().components.values() for found in kind.values() for offer in found]
    references = [offer.what.importer for offer in offers]
    return iter(dict.fromkeys(reference for reference in references if reference))


def _image_size(resolved: Resolved, latent: LatentSpec) -> int:
    """The size whose latent has the checkpoint's side, by the tokenizer's own factor."""
    factor: int = Assembly(resolved)["tokenizer"].latent(resolved.image_size).factor
    return latent.height * factor


def _assembly(resolved: Resolved, found: Checkpoint) -> Assembly:
    """The parts; where the data is not on this machine the classes are called by their numbers."""
    assembly = Assembly(resolved)
    try:
        assembly["classes"]
    except DataError:
        assembly.supply("classes", tuple(map(str, range(found.condition.width - 1))))
        assembly.excuse_dataset()
    return assembly


def _brought(resolved: Resolved) -> Iterator[tuple[str, Layer]]:
    """What the method, the objective and the task bring along, with their names."""
    if resolved.method is not None:
        method = registry().method(resolved.method).what
        yield f"method {resolved.method}", said({**method.defaults, "per_task": method.per_task}, resolved.task)
    for slot in ("objective", "task"):
        part = resolved.slots[slot]
        yield f"{slot} {part.name}", said(part.chosen.component.defaults, resolved.task)
