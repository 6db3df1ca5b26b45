"""A published checkpoint as a saved pipeline: the plugin of a backbone reads the file, this adds the other parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from nanogen_core import compat
from nanogen_core.assembly import Assembly
from nanogen_core.config import combine, import_object, resolve
from nanogen_core.errors import ConfigError, DataError, NanoGenError, listing
from nanogen_core.layers import merge, named
from nanogen_core.pipeline import Pipeline
from nanogen_core.registry import registry
from nanogen_core.specs import ConditionSpec, LatentSpec


class Checkpoint(Protocol):
    """What the `importer` of a backbone's Component gives: `importer(path, config, weights)`."""

    state: Mapping[str, Tensor]  # of the backbone
    latent: LatentSpec
    condition: ConditionSpec
    wanted: frozenset[str]  # capability words that it was built for, such as `two-time`
    suggested: Mapping[str, Any]  # a partial configuration: the backbone with its options, a task and a method


def import_checkpoint(
    file: Path,
    config: Mapping[str, Any] | None = None,
    *,
    architecture: Mapping[str, Any] | None = None,
    weights: str = "ema",
) -> Pipeline:
    """The pipeline of a published checkpoint; `config` goes over what the file itself suggests.

    `architecture` is the published configuration, for what the file's shapes do not tell. Raises DataError for a file
    that no installed backbone reads, ConfigError where tokenizer or condition do not fit the checkpoint.
    """
    found = _read(file, architecture, weights)
    layers = merge([named(found.suggested), named(config or {})])
    if "image_size" not in layers:
        layers["image_size"] = _image_size(layers, found.latent)
    pipeline = Pipeline(resolve(layers), _assembly(layers, found))
    _check(pipeline, found)
    pipeline.backbone.load_state_dict(dict(found.state))
    return pipeline


def _read(file: Path, architecture: Mapping[str, Any] | None, weights: str) -> Checkpoint:
    refused: list[NanoGenError] = []
    for reference in _importers():
        try:
            checkpoint: Checkpoint = import_object(reference)(file, architecture, weights)
            return checkpoint
        except DataError as error:
            refused.append(error)
    raise refused[0] if refused else ConfigError("No installed backbone reads published checkpoints.")


def _importers() -> Iterator[str]:
    offers = registry().components["backbone"].values()
    references = [offer.what.importer for found in offers for offer in found]
    return iter(dict.fromkeys(reference for reference in references if reference))


def _image_size(layers: Mapping[str, Any], latent: LatentSpec) -> int:
    """The size whose latent has the checkpoint's side, by the tokenizer's own factor."""
    resolved = resolve(layers)
    factor: int = Assembly(resolved)["tokenizer"].latent(resolved.image_size).factor
    return latent.height * factor


def _assembly(layers: Mapping[str, Any], found: Checkpoint) -> Assembly:
    """The parts; where the data is not on this machine the classes are called by their numbers."""
    assembly = Assembly(resolve(combine(layers, {})))
    try:
        assembly["classes"]
    except DataError:
        assembly.supply("classes", tuple(map(str, range(found.condition.width - 1))))
        assembly.excuse_dataset()
    return assembly


def _check(pipeline: Pipeline, found: Checkpoint) -> None:
    """Raises ConfigError where another part gives the backbone something else than it was trained on."""
    given, expected = pipeline.latent.shape, found.latent.shape
    if given != expected:
        raise ConfigError(
            f"The checkpoint's latents are {expected} (channels, height, width), those of this tokenizer at"
            f" {pipeline.config.image_size} px are {given}: choose the tokenizer it was trained with, by --config or"
            " --set tokenizer.name=... --set tokenizer.preset=... --set image_size=..."
        )
    unasked = found.wanted - compat.wanted(pipeline.config.parts(), "backbone")
    if unasked:
        raise ConfigError(
            f"The checkpoint's backbone has {listing(unasked)}, which no chosen part asks for: choose the method"
            " that it was trained with (--set method=...), and install the plugin that brings it if it is not listed"
            " by `nanogen plugins`."
        )
    wants, gets = found.condition, pipeline.conditioner.spec
    if (wants.width, wants.padded) != (gets.width, gets.padded):
        raise ConfigError(
            f"The checkpoint's condition is {wants.width} wide, that of task {pipeline.config.task!r} is {gets.width}:"
            " choose the task, data and encoder that it was trained with, by --config or --set."
        )
