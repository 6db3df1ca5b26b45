"""Samples of a pipeline, made when they are asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from typing import Any

from nanogen_core.pipeline import LEARNING, Pipeline
from nanogen_core.tensors import Batch
from nanogen_data import contents
from nanogen_eval.options import Sampling
from nanogen_eval.pixels import on_grid
from nanogen_eval.score import DIGITS, fingerprint
from nanogen_files import storage
from nanogen_files.structure import plain

FROZEN = ("encoder", "tokenizer")


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
        self.about: Mapping[str, Any] = {**identity(pipeline), **_found(sampling)}

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
        **_read(pipeline.sampler, sampler.config),
        "steps": sampling.steps or options.get("steps"),
        "guidance": _guidance(pipeline, sampling),
        "guidance_search": None if sampling.search is None else sampling.search.settings,
        "ema_decay": getattr(stage.config, "ema_decay", None) if stage else None,
    }


def _guidance(pipeline: Pipeline, sampling: Sampling) -> dict[str, Any]:
    """Every guidance with its options; a scale that was searched for is a finding and no setting."""
    parts = pipeline.config.groups["guidance"].items()
    found = {name: _read(pipeline.guidance[name], part.config) for name, part in parts}
    if sampling.guidance is not None and found:
        scale = "searched" if sampling.search is not None else sampling.guidance
        outermost = list(pipeline.guidance)[-1]
        found[outermost] = {**found[outermost], "scale": scale}
    return found


def _read(part: Any, config: Any) -> dict[str, Any]:
    """The options of a part, and the hashes of what it reads."""
    hashes = contents.of(part)
    return {**contents.options(config), **({"contents": hashes} if hashes else {})}


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


def identity(pipeline: Pipeline) -> dict[str, Any]:
    """Which model it is: the hashes of the weights that it learned, of what its frozen parts read, and of its
    configuration, all of them the same wherever the files lie."""
    state = {f"{part}.{name}": tensor for part, values in pipeline.state().items() for name, tensor in values.items()}
    read = {kind: contents.of(pipeline.parts[kind], state=kind not in LEARNING) for kind in _kinds(pipeline)}
    return {
        "weights": storage.tensors_hash(state)[:DIGITS],
        "config": fingerprint(contents.configuration(pipeline.config)),
        "parts": {kind: fingerprint(hashes) for kind, hashes in read.items() if hashes},
    }


def _kinds(pipeline: Pipeline) -> list[str]:
    """The slots of the parts that make a picture out of a request."""
    return [kind for kind in (*FROZEN, *LEARNING) if kind in pipeline.config.slots]
