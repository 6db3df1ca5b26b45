"""The discriminator's heads on given features."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch

from nanogen_rae.discriminator import Heads
from tests.fidelity.measurement import Measurement, relative_max
from tests.fidelity.recorded import compared, read, under

TOLERANCE = 1e-4


@torch.no_grad()
def measure(path: Path) -> Iterator[Measurement]:
    """Logits of all images at once, of each alone, and the norm of the first head."""
    facts, tensors = read(path)
    levels = [tensors[f"in.level_{number}"] for number in range(facts["levels"])]
    heads = Heads(levels[0].shape[1], len(levels), facts["kernel"])
    heads.load_state_dict(under(tensors, "disc."))
    heads.eval()
    norm = heads.get_submodule("heads.0.0.1")(levels[0])
    yield from compared({"out.logits": heads(levels), "out.norm_of_level_0": norm}, tensors, TOLERANCE)
    alone = torch.cat([heads([level[[row]] for level in levels]) for row in range(len(levels[0]))])
    yield Measurement("out.logits, one by one", relative_max(alone, tensors["out.logits"]), TOLERANCE)
