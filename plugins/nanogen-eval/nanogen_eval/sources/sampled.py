"""Samples of a pipeline, generated when they are read."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from typing import Any

import attrs
import torch
from torch import Tensor

from nanogen_core.errors import ConfigError, NanoGenError
from nanogen_core.named_components import options_of
from nanogen_core.pipeline import LEARNING, Pipeline
from nanogen_core.tensors import Batch
from nanogen_data import contents
from nanogen_eval.options import Sampling
from nanogen_eval.pixels import on_grid
from nanogen_eval.score import DIGITS, fingerprint
from nanogen_files import storage
from nanogen_files.structure import plain
from nanogen_files.tf32 import tf32

FROZEN = ("encoder", "tokenizer")

MAX_BATCH = 4096  # images
log = logging.getLogger(__name__)


class Sampled:
    """Samples of a pipeline. The noise of sample i depends on the seed and on i only."""

    def __init__(self, pipeline: Pipeline, requests: Batch, sampling: Sampling, *, seed: int):
        """Prepare to sample.

        Args:
            pipeline: The model.
            requests: Labels or captions, one per sample.
            sampling: Sampling options.
            seed: Seed of the noise.

        Raises:
            ConfigError: `sampling.guidance` is an object that does not state its options.
        """
        self.requests = requests
        self._pipeline, self._sampling, self._seed = _guided(pipeline, sampling), sampling, seed
        self._fitting = MAX_BATCH  # the largest batch that may fit into the memory
        self.settings: Mapping[str, Any] = {
            "requests": digest(requests),
            "image_size": pipeline.config.image_size,
            "rounding": sampling.rounding,
            "sampling": sampling_settings(self._pipeline, sampling),
            **({"tf32": True} if self._uses_tf32 else {}),
        }
        self.about: Mapping[str, Any] = {**identity(pipeline), **_search_results(sampling)}

    def read(self, spans: Iterable[range]) -> Iterator[Batch]:
        guidance = None if _replaces(self._sampling.guidance) else self._sampling.guidance
        options = {"seed": self._seed, "steps": self._sampling.steps, "guidance": guidance}
        for span in spans:
            requests = self.requests.part(span.start, span.stop)
            with tf32(self._uses_tf32):
                images = self._sample(requests, **options)
            yield requests._replace(images=on_grid(images, self._sampling.rounding))

    @property
    def _uses_tf32(self) -> bool:
        return self._sampling.tf32 and torch.device(self._pipeline.device).type == "cuda"

    def _sample(self, requests: Batch, **options: Any) -> Tensor:
        """Sample in batches that fit into the memory: after each failure in half as large ones."""
        while True:
            try:
                return self._pipeline.sample(requests, batch_size=self._fitting, **options)
            except torch.OutOfMemoryError as error:
                size = min(self._fitting, len(requests.indices))
                if size == 1:
                    raise NanoGenError("Not enough GPU memory to sample a single image: use a larger GPU.") from error
                self._fitting = size // 2
            log.warning("Not enough GPU memory to sample %d images at once: trying %d.", size, self._fitting)
            torch.cuda.empty_cache()


def sampling_settings(pipeline: Pipeline, sampling: Sampling) -> dict[str, Any]:
    """Return the sampling settings that a score depends on: sampler, steps, guidance, EMA decay of the weights."""
    config = pipeline.config
    sampler, stage = config.slots["sampler"], config.slots.get("stage")
    options = plain(sampler.config) if sampler.config is not None else {}
    return {
        "sampler": sampler.name,
        **_read(pipeline.sampler, sampler.config),
        "steps": sampling.steps or options.get("steps"),
        "guidance": _guidance(pipeline, sampling),
        "guidance_search": None if sampling.search is None else sampling.search.settings,
        "ema_decay": getattr(stage.config, "ema_decay", None) if stage else None,
    }


def _replaces(guidance: Any) -> bool:
    """Return whether this choice of guidance replaces the configured ones: a name or an object."""
    return isinstance(guidance, str) or hasattr(guidance, "wrap")


def _guided(pipeline: Pipeline, sampling: Sampling) -> Pipeline:
    """Return the pipeline with the guidance of the sampling options, if that is a name or an object."""
    given = sampling.guidance
    if not _replaces(given):
        return pipeline
    name = given if isinstance(given, str) else type(given).__name__
    others = dict.fromkeys({*pipeline.config.groups["guidance"]} - {name})
    return pipeline.reconfigured({"guidance": {**others, name: {} if isinstance(given, str) else given}})


def _stated(guidance: Any) -> Any:
    """Return the options that a guidance was built with."""
    options = options_of(guidance) or getattr(guidance, "config", None)
    if options is None or not attrs.has(type(options)):
        raise ConfigError(
            f"guidance: the object of class {type(guidance).__name__!r} does not state its options, which a score"
            " depends on. Set its attribute `config` to an attrs instance, or give the name of an installed guidance."
        )
    return options


def _guidance(pipeline: Pipeline, sampling: Sampling) -> dict[str, Any]:
    """Return the options of each guidance.

    A scale that was searched for is replaced by `"searched"`: it is a result.
    """
    given = sampling.guidance
    if _replaces(given) and not isinstance(given, str):
        return {type(given).__name__: _read(given, _stated(given))}
    parts = pipeline.config.groups["guidance"].items()
    found = {name: _read(pipeline.guidance[name], part.config) for name, part in parts}
    if given is not None and not _replaces(given) and found:
        scale = "searched" if sampling.search is not None else given
        outermost = list(pipeline.guidance)[-1]
        found[outermost] = {**found[outermost], "scale": scale}
    return found


def _read(part: Any, config: Any) -> dict[str, Any]:
    """Return the options of a part, and hashes of the files that it reads."""
    hashes = contents.of(part)
    return {**contents.options(config), **({"contents": hashes} if hashes else {})}


def _search_results(sampling: Sampling) -> dict[str, Any]:
    """Return the scale that a search chose, and the score of each scale."""
    if sampling.search is None:
        return {}
    return {"guidance": sampling.guidance, "searched": list(sampling.search.scores)}


def digest(requests: Batch) -> str:
    """Return 16 hexadecimal digits of the SHA-256 of labels and captions in order."""
    labels = None if requests.labels is None else requests.labels.tolist()
    captions = None if requests.captions is None else list(requests.captions)
    return sha256(repr((len(requests.indices), labels, captions)).encode()).hexdigest()[:16]


def identity(pipeline: Pipeline) -> dict[str, Any]:
    """Identify a model by its contents, whatever folder it is in.

    Returns:
        Hashes of the trained weights (`weights`), of the configuration without metrics and without the paths of
        the dataset (`config`), and of the files and frozen weights of each part (`parts`).
    """
    state = {f"{part}.{name}": tensor for part, values in pipeline.state().items() for name, tensor in values.items()}
    learned = pipeline.state()
    parts = {kind: vars(pipeline).get(kind, pipeline.parts[kind]) for kind in _kinds(pipeline)}  # those of `with_parts`
    read = {kind: contents.of(part, state=kind not in learned) for kind, part in parts.items()}
    return {
        "weights": storage.tensors_hash(state)[:DIGITS],
        "config": fingerprint(contents.model_configuration(pipeline.config)),
        "parts": {kind: fingerprint(hashes) for kind, hashes in read.items() if hashes},
    }


def _kinds(pipeline: Pipeline) -> list[str]:
    """Return the slots of the parts that generate images."""
    return [kind for kind in dict.fromkeys((*FROZEN, *LEARNING)) if kind in pipeline.config.slots]
