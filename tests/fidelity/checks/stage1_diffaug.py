"""DiffAugment of given images with recorded random numbers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from nanogen_core.config import resolve
from nanogen_rae.augment import DiffAugment
from tests.fidelity.measurement import Measurement, absolute_max
from tests.fidelity.recorded import RecordedRNG, compared, read

TOLERANCE = 1e-5
KINDS = ("translation", "colour", "hole")  # in the order of the recorded chances


def measure(path: Path) -> Iterator[Measurement]:
    """Measure every case, and the options of the published recipe."""
    facts, tensors = read(path)
    found = {}
    for case in facts["cases"]:
        key = f"in.{case['case']}."
        images, chances = tensors[key + "images"], tensors[key + "chances"]
        numbers = {f"augment.{kind}.any": float(chance) for kind, chance in zip(KINDS, chances, strict=True)}
        rng = RecordedRNG({"augment.any": tensors[key + "draws"].T, **numbers}, samples=len(images))
        found[f"out.{case['case']}.images"] = DiffAugment(case["prob"], case["cutout"])(images, rng, "any")
    yield from compared(found, tensors, TOLERANCE, absolute_max)
    stage = resolve({"task": "imagenet", "stage": "rae-decoder"}).slots["stage"].config
    for name, ours in {"prob": stage.augment_probability, "cutout": stage.cutout}.items():
        yield Measurement(f"published {name}", abs(ours - facts["published"][name]), 0.0)
