"""Import of a checkpoint: a backbone's importer reads the file, then this module builds a pipeline with its weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

from nanogen_core.assembly import Assembly
from nanogen_core.config import Resolved, import_object, resolve
from nanogen_core.config_layers import Layer, merge, named
from nanogen_core.errors import ConfigError, DataError, listing
from nanogen_core.pipeline import Pipeline
from nanogen_core.registry import registry
from nanogen_core.specs import LatentSpec
from nanogen_files.storage import DIGEST
from nanogen_files.weights import load_exactly
from nanogen_import.candidates import Candidate, agreed, candidates, same_family, shown
from nanogen_import.checkpoint import Checkpoint, Importer, Undecided, Unrecognised
from nanogen_import.checks import check
from nanogen_import.decisions import Decision, decisions, flat, refuse_open, still_open
from nanogen_import.user_options import SETTINGS, UserOptions, read_options, task_layer
from nanogen_import.weights import WeightsFile, read_weights

SHAPES = "the file's tensors"
AGREED = "all matching recipes"
SLOTS_OF_METHODS = ("tokenizer", "objective")


@frozen
class Imported:
    """Imported pipeline, and the decisions of the import."""

    pipeline: Pipeline
    decisions: Sequence[Decision]


def import_checkpoint(file: str | Path, config: Any = None, **options: Any) -> Pipeline:
    """Import a published checkpoint and return the pipeline. Takes the arguments of `import_file`."""
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
    """Import a published checkpoint. The arguments must give the options that its tensors do not determine.

    Args:
        file: Safetensors file, or a file of `torch.save` without Python objects.
        config: Configuration of NanoGen, or the published configuration of the checkpoint, as a YAML file or mapping.
        recipe: Name of a recipe, instead of `config`.
        settings: Configuration that overrides `config` or `recipe`.
        architecture: Description of the network, for options that the shapes of tensors do not show.
        weights: Set of weights, "ema" or "model".

    Raises:
        DataError: The file is missing or damaged, contains NaN or infinite weights, or has an unknown layout.
        ConfigError: An option is missing, or the configuration contradicts the file.
    """
    if architecture is not None and not isinstance(architecture, Mapping):
        raise DataError(
            'The description of the network (--architecture) must be a JSON object, such as `{"num_heads": 16}`.'
        )
    user = read_options(config, recipe, settings)
    found = _read(read_weights(file), weights, architecture, user.foreign)
    importing = _Import(Path(file), found, user)
    pipeline = importing.pipeline()
    return Imported(pipeline, importing.decisions(pipeline))


class _Import:
    """State of one import: the layers of its configuration, and their checks against the file."""

    def __init__(self, file: Path, found: Checkpoint, user: UserOptions):
        self.file = file
        self.found = found
        self.user = user
        self.task = _task(found, user)
        self.combined = user.combined(self.task if user.recipe else None)
        self.own = task_layer(self.combined, self.task)
        self.fitting: Sequence[Candidate] = () if user.complete else candidates(found)
        self.agreed = {slot: {"name": name} for slot in SLOTS_OF_METHODS if (name := self._agreed(slot))}
        self.derived: Layer = {}

    def pipeline(self) -> Pipeline:
        """Build the pipeline with the weights of the file."""
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
        """Return the decisions with their sources."""
        weights = "the only set (unnamed)" if self.found.weights is None else self.found.weights
        sources: list[tuple[str, Mapping[str, Any]]] = [*self.user.layers(self.task)]
        sources += [(self.found.configured_by or self.user.source, task_layer(self.found.configured, self.task))]
        sources += [(AGREED, self.agreed), (SHAPES, self.found.suggested), (SHAPES, self.derived)]
        sources += _defaults(pipeline.config)
        options = decisions(pipeline.config, pipeline.parts, sources, self.found.undecided)
        notes = [Decision("note", note, SHAPES) for note in self.found.notes]
        return [Decision("weights", weights, str(self.file)), *options, *notes]

    def _layers(self) -> Layer:
        """Merged configuration. Priority from low to high: the file, agreement of the recipes, the user's options."""
        below = [self._suggested(), self.agreed, self.derived, self.found.configured]
        return merge([*map(named, below), self.combined])

    def _suggested(self) -> Mapping[str, Any]:
        """Configuration from the file, without its conditioner if the chosen task has another one."""
        suggested = self.found.suggested
        usual = task_layer(registry().component("task", self.task).what.defaults, self.task).get("conditioner", {})
        fits = usual.get("name") == suggested.get("conditioner", {}).get("name")
        return {key: value for key, value in suggested.items() if key != "conditioner" or fits}

    def _agreed(self, slot: str) -> str | None:
        """Component of a slot that all matching recipes share, unless the user or the file names one."""
        named_by = merge([task_layer(self.found.configured, self.task), self.own])
        if self.user.complete or "method" in self.own or "name" in named_by.get(slot, {}):
            return None
        return agreed(self.fitting, slot)

    def _resolved(self) -> Resolved:
        """Resolved configuration before the image size is derived. Raises ConfigError if choices are missing."""
        layers = self._layers()
        items = [item for item in self.found.undecided if not (self.user.complete and item.by_recipe)]
        known = merge([self.agreed, task_layer(self.found.configured, self.task), self.own])
        missing = [slot for slot in SLOTS_OF_METHODS if "name" not in task_layer(layers, self.task).get(slot, {})]
        if missing and "method" not in layers:
            self._refuse_open(still_open(items, known, None))
        resolved = resolve(layers)
        self._refuse_open(still_open(items, known, resolved))
        self._refuse(self.found.conflicts(resolved.as_dict()), self._source)
        return resolved

    def _refuse_open(self, items: Sequence[Undecided]) -> None:
        refuse_open(self.file, items, self.fitting, self.found.hint)

    def _check(self, pipeline: Pipeline) -> None:
        """Raise ConfigError, listing matching recipes, if another part does not match the checkpoint."""
        try:
            check(pipeline, self.found)
        except ConfigError as error:
            fitting = listing(candidate.recipe for candidate in candidates(self.found))
            fits = f"Recipes that match the file: {fitting}." if fitting else "No installed recipe matches the file."
            raise ConfigError(f"{error} {fits}") from error

    def _refuse_conflicts(self) -> None:
        """Raise ConfigError if the user's options of the backbone contradict the file."""
        kind = self.found.suggested["backbone"]["name"]
        name = self.own.get("backbone", {}).get("name", kind).rpartition(":")[2]
        recipe = resolve(self.user.without_settings(self.task)) if self.user.recipe else None
        if recipe and name == kind and not same_family(self.found, recipe):
            name = recipe.slots["backbone"].name if "backbone" in recipe.slots else "none"
        if name != kind:
            raise ConfigError(
                f"{self._source} has the backbone {name!r}, but {self.file} contains a {kind!r}: give the configuration"
                " of this checkpoint."
            )
        self._refuse(self.found.conflicts(task_layer(self.user.settings, self.task)), SETTINGS)
        self._refuse(self.found.conflicts(self.own), self._source)
        self._refuse_other_values()

    def _refuse_other_values(self) -> None:
        """Raise ConfigError if the user's configuration differs from values in the file, unless --set decides."""
        if self.found.configured_by is None:
            return
        values, over = (dict(flat(task_layer(raw, self.task))) for raw in (self.found.configured, self.user.settings))
        others = dict(flat(task_layer(self.user.raw, self.task)))
        for key in sorted(values.keys() & others.keys() - over.keys()):
            if others[key] not in (None, values[key]):
                raise ConfigError(
                    f"{self._source} has {key}={shown(others[key])}, but {self.found.configured_by} ({self.file}) have"
                    f" {key}={shown(values[key])}: add --set {key}=VALUE with the correct value."
                )

    def _refuse(self, conflicts: Sequence[str], source: str) -> None:
        if conflicts:
            raise ConfigError(
                f"{source} contradicts {self.file}: {'; '.join(conflicts)}. Correct or remove these options."
            )

    @property
    def _source(self) -> str:
        return self.user.source or SETTINGS


def _task(found: Checkpoint, user: UserOptions) -> str:
    """Return the given task, or the task of the file.

    A recipe is switched to the file's task if its own has other conditions.
    """
    suggested: str = found.suggested["task"]
    for raw in (user.settings, {} if user.recipe else user.raw):
        if name := task_layer(raw, suggested).get("task", {}).get("name"):
            return str(name)
    if not user.recipe:
        return suggested
    own, other = resolve(user.raw), resolve(user.without_settings(suggested))
    return own.task if own.slots["conditioner"].name == other.slots["conditioner"].name else suggested


def _read(
    file: WeightsFile, weights: str, architecture: Mapping[str, Any] | None, configuration: Mapping[str, Any] | None
) -> Checkpoint:
    """Read the file with the first importer that recognises its layout."""
    refused: list[str] = []
    for reference in _importers():
        importer: Importer = import_object(reference)
        try:
            return importer(file, weights=weights, architecture=architecture, configuration=configuration)
        except Unrecognised as error:
            refused.append(str(error))
    if not refused:
        raise ConfigError("No installed backbone can import checkpoints. Install one: `pip install nanogen-dit`.")
    if DIGEST in file.values:
        raise DataError(
            f"{file.path} is in NanoGen's own layout, which needs no import: use the folder of its run or saved"
            f" pipeline, or start a training with `nanogen train CONFIG --init {file.path}`."
        )
    raise DataError(
        f"{file.path} contains no network of an installed backbone: {'; '.join(refused)}. Check that it is the right"
        " file, or install the plugin of its backbone."
    )


def _importers() -> Iterator[str]:
    offers = [offer for kind in registry().components.values() for found in kind.values() for offer in found]
    references = [offer.what.importer for offer in offers]
    return iter(dict.fromkeys(reference for reference in references if reference))


def _image_size(resolved: Resolved, latent: LatentSpec) -> int:
    """Image size that gives the checkpoint's latent size with the tokenizer's factor."""
    factor: int = Assembly(resolved)["tokenizer"].latent(resolved.image_size).factor
    return latent.height * factor


def _assembly(resolved: Resolved, found: Checkpoint) -> Assembly:
    """Return the parts of the pipeline. Classes are named by number if the dataset is not available."""
    assembly = Assembly(resolved)
    try:
        assembly["classes"]
    except DataError:
        assembly.supply("classes", tuple(map(str, range(found.condition.width - 1))))
        assembly.excuse_dataset()
    return assembly


def _defaults(resolved: Resolved) -> Iterator[tuple[str, Layer]]:
    """Return the defaults of the method, the objective and the task, with the names of their sources."""
    if resolved.method is not None:
        method = registry().method(resolved.method).what
        yield f"method {resolved.method}", task_layer({**method.defaults, "per_task": method.per_task}, resolved.task)
    for slot in ("objective", "task"):
        part = resolved.slots[slot]
        yield f"{slot} {part.name}", task_layer(part.chosen.component.defaults, resolved.task)
