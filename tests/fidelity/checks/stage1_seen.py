"""Inputs of the decoder's and the discriminator's loss, before DiffAugment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

from nanogen_rae.pixels import in_8_bits
from tests.fidelity.measurement import Measurement, absolute_max
from tests.fidelity.recorded import compared, read
from tests.fidelity.stage1 import GivenRAE

TOLERANCE = 1e-6


@torch.no_grad()
def measure(path: Path) -> Iterator[Measurement]:
    """Measure the decoder's output, unchanged and in 8 bits. `stage1_step` measures which loss uses which."""
    _, tensors = read(path)
    rae = GivenRAE(nn.Identity())
    decoded = rae.decode_tokens(nn.Identity(), tensors["in.decoded"])
    found = {
        "out.fake_for_decoder": decoded,
        "out.fake_for_discriminator": in_8_bits(decoded),
        "out.real": rae.decode_tokens(nn.Identity(), tensors["in.images"]),
    }
    yield from compared(found, tensors, TOLERANCE, absolute_max)
