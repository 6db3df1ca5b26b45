"""Hinge and generator loss of given logits, and the adaptive weight of given gradients."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

from nanogen_core.config import resolve
from nanogen_rae.discriminator import MAX_WEIGHT, adaptive_weight, generator_loss, hinge
from tests.fidelity.measurement import Measurement, relative_max
from tests.fidelity.recorded import read, refuse_unknown

TOLERANCE = 1e-5


def measure(path: Path) -> Iterator[Measurement]:
    """Measure every case, and the weights of the published recipe."""
    facts, tensors = read(path)
    refuse_unknown(tensors, ())  # every expected number is in the JSON file
    for case in facts["logits"]:
        real, fake = (tensors[f"in.{case['case']}.logits_{kind}"] for kind in ("real", "fake"))
        for name, ours in {"discriminator": hinge(real, fake), "generator": generator_loss(fake)}.items():
            yield _compared(f"{name} {case['case']}", float(ours), case[name])
    stage = resolve({"task": "imagenet", "stage": "rae-decoder"}).slots["stage"].config
    for case in facts["weights"]:
        gradients = [tensors[f"in.{case['case']}.{kind}_gradient"] for kind in ("reconstruction", "adversarial")]
        last = nn.Parameter(torch.zeros_like(gradients[0]))
        weight = float(adaptive_weight(*((last * gradient).sum() for gradient in gradients), last))
        yield _compared(f"adaptive_weight {case['case']}", weight, case["adaptive_weight"])
        factor = stage.adversarial_weight * weight
        yield _compared(f"factor {case['case']}", factor, case["factor_of_the_adversarial_loss"])
    published = {
        "disc_weight": stage.adversarial_weight,
        "max_d_weight": MAX_WEIGHT,
        "perceptual_weight": stage.perceptual_weight,
    }
    for name, ours in published.items():
        yield Measurement(name, abs(ours - facts[name]), 0.0)


def _compared(name: str, ours: float, recorded: float) -> Measurement:
    return Measurement(name, relative_max(torch.tensor(ours), torch.tensor(recorded)), TOLERANCE)
