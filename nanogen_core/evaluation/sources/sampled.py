"""Samples of a pipeline, made when they are asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from typing import Any

import torch
from torch import Tensor

from nanogen_core.evaluation.options import Sampling
from nanogen_core.evaluation.pixels import on_grid
from nanogen_core.evaluation.score import fingerprint
from nanogen_core.pipeline import Pipeline
from nanogen_core.structure import plain
from nanogen_core.tensors import Batch


class Sampled:
    """A pipeline's answers to questions. Sample i of a seed is the same whatever else is asked for."""

    def __init__(self, pipeline: Pipeline, questions: Batch, sampling: Sampling, *, seed: int):
        self.questions = questions
        self._pipeline, self._sampling, self._seed = pipeline, sampling, seed
        self.settings: Mapping[str, Any] = {
            "questions": digest(questions),
            "image_size": pipeline.config.image_size,
            "rounding": sampling.rounding,
            "sampling": sampling_settings(pipeline, sampling),
        }
        config = fingerprint(pipeline.config.as_dict())
        self.about: Mapping[str, Any] = {"weights": weights_digest(pipeline), "config": config, **_found(sampling)}

    def read(self, spans: Iterable[range]) -> Iterator[Batch]:
        options = {"seed": self._seed, "steps": self._sampling.steps, "guidance": self._sampling.guidance}
        for span in spans:
            asked = self.questions.part(span.start, span.stop)
            images = self._pipeline.sample(asked, batch_size=len(span), **options)
            yield asked._replace(images=on_grid(images, self._sampling.rounding))


def sampling_settings(pipeline: Pipeline, sampling: Sampling) -> dict[str, Any]:
    """Sampler, steps, guidance, and the average that the weights are: what of a model's use a score depends on."""
    config = pipeline.config
    sampler, stage = config.slots["sampler"], config.slots.get("stage")
    options = plain(sampler.config) if sampler.config is not None else {}
    return {
        "sampler": sampler.name,
        **options,
        "steps": sampling.steps or options.get("steps"),
        "guidance": _guidance(pipeline, sampling),
        "guidance_search": None if sampling.search is None else sampling.search.settings,
        "ema_decay": getattr(stage.config, "ema_decay", None) if stage else None,
    }


def _guidance(pipeline: Pipeline, sampling: Sampling) -> dict[str, Any]:
    """Every guidance with its options; a scale that was searched for is a finding and no setting."""
    parts = pipeline.config.groups["guidance"].items()
    found = {name: plain(part.config) if part.config is not None else {} for name, part in parts}
    if sampling.guidance is not None and found:
        scale = "searched" if sampling.search is not None else sampling.guidance
        outermost = list(pipeline.guidance)[-1]
        found[outermost] = {**found[outermost], "scale": scale}
    return found


def _found(sampling: Sampling) -> dict[str, Any]:
    """What a search came to."""
    if sampling.search is None:
        return {}
    return {"guidance": sampling.guidance, "searched": list(sampling.search.scores)}


def digest(questions: Batch) -> str:
    """16 hexadecimal digits that depend on what is asked, and in which order."""
    labels = None if questions.labels is None else questions.labels.tolist()
    captions = None if questions.captions is None else list(questions.captions)
    return sha256(repr((len(questions.indices), labels, captions)).encode()).hexdigest()[:16]


def weights_digest(pipeline: Pipeline) -> str:
    """16 hexadecimal digits of the weights of every part that learns."""
    state = {f"{part}.{name}": tensor for part, values in pipeline.state().items() for name, tensor in values.items()}
    found = sha256()
    for name in sorted(state):
        found.update(name.encode())
        found.update(_bytes(state[name]))
    return found.hexdigest()[:16]


def _bytes(tensor: Tensor) -> memoryview:
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data
