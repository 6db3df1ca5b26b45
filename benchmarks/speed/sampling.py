"""Speed of sampling: without padding tokens of captions, and with guidance in an interval."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from statistics import median
from typing import Any

import torch

from benchmarks.speed.parts import CLASSES, pipeline
from benchmarks.speed.timing import Row, in_turn, ratio
from nanogen_core.guidance import ClassifierFree
from nanogen_core.pipeline import Pipeline
from nanogen_core.randomness import KeyedRNG
from nanogen_core.sampling import velocity_field
from nanogen_core.settings import ClassifierFreeConfig
from nanogen_core.specs import ConditionSpec
from nanogen_core.tensors import Batch, Condition, State
from nanogen_dit.config import LightningDiTConfig
from nanogen_dit.lightning_dit import LightningDiT

LENGTH, SHORTEST, LONGEST = 256, 20, 80  # tokens of the padded sequence, and of captions
REQUESTS, STEPS = 16, 10
INTERVAL = (0.3, 0.8)


def texts() -> Iterator[Row]:
    """Measure guidance with captions of 20 to 80 tokens, padded to 256."""
    spec = ConditionSpec(width=1024, length=LENGTH, normalize=True, padded=True)
    model = pipeline("tiny")
    net = LightningDiT(LightningDiTConfig(size="tiny"), latent=model.latent, condition=spec, wanted=frozenset()).eval()
    condition, null = _captions(spec)
    short = [c.map(lambda value: value[:, :LONGEST]) for c in (condition, null)]
    noise = State(torch.randn(REQUESTS, *model.latent.shape))

    def sample(*conditions: Condition) -> None:
        field = ClassifierFree(ClassifierFreeConfig(scale=6.0)).wrap(
            velocity_field(model.objective, net), conditions[1]
        )
        model.sampler.sample(model.objective, field, noise, conditions[0], STEPS, KeyedRNG(0, range(REQUESTS)))

    figure, detail = ratio(lambda: sample(*short), partial(sample, condition, null), rounds=7)
    yield Row(
        name="text sampling with guidance, tiny",
        against="the same with each caption padded to 256 tokens",
        figure=figure,
        at_least=1.5,
        detail=f"{detail}, {REQUESTS} captions",
    )


def _captions(spec: ConditionSpec) -> tuple[Condition, Condition]:
    lengths = torch.linspace(SHORTEST, LONGEST, REQUESTS).long()
    tokens = torch.randn(REQUESTS, LENGTH, spec.width)
    ends = torch.arange(LENGTH)
    return Condition(tokens, ends < lengths[:, None]), Condition(tokens, (ends < 0).expand(REQUESTS, -1))


def labels() -> Iterator[Row]:
    """Compare guidance in an interval with guidance at all times: saved time per saved evaluation."""
    model = pipeline("tiny", guidance={"cfg": {"scale": 4.0, "t_min": INTERVAL[0], "t_max": INTERVAL[1]}})
    whole = pipeline("tiny", guidance={"cfg": {"scale": 4.0}})
    requests = Batch(torch.arange(64), labels=torch.arange(64) % CLASSES)
    ours, other = (partial(_sample, which, requests) for which in (model, whole))
    counts = [_evaluations(which) for which in (model, whole)]
    mine, theirs = in_turn(ours, other, rounds=7)
    quicker = median(b / a for a, b in zip(mine, theirs, strict=True))
    yield Row(
        name="label sampling with a guidance interval, tiny",
        against="the speed-up that its fewer evaluations would give",
        figure=quicker / (counts[1] / counts[0]),
        unit="of it",
        at_least=0.95,
        detail=f"{quicker:.2f}x for {counts[0]} of {counts[1]} evaluations",
    )


def _sample(model: Pipeline, requests: Batch) -> torch.Tensor:
    return model.sample(requests, steps=50)


def _evaluations(model: Pipeline) -> int:
    """Number of network evaluations per image."""
    cfg: Any = model.guidance["cfg"].config
    times = model.objective.grid(50)[:-1].float()
    inside = int(((times >= cfg.t_min) & (times <= cfg.t_max)).sum())
    return len(times) + inside
