"""A text model in a folder beside the fixture: token numbers, masks, and states of unmasked tokens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from nanogen_core.tensors import Batch
from nanogen_t2i.config import HFTextConfig, TextConfig
from nanogen_t2i.encoder import HFText
from nanogen_t2i.text import Text
from tests.fidelity.measurement import Measurement, relative_max
from tests.fidelity.recorded import read, refuse_unknown

LIMIT = 1e-4  # of the states


def measure(path: Path) -> Iterator[Measurement]:
    """Measure the captions of the fixture by encoder and conditioner, and the null condition (the last row)."""
    case, recorded = read(path)
    refuse_unknown(recorded, ("out.mask", "out.states"))
    length, captions = case["max_length"], case["captions"]
    mask, states = recorded["out.mask"].bool(), recorded["out.states"]  # [R, L], [R, L, D]
    encoder = HFText(HFTextConfig(path=str(path.parent / case["model"]), max_length=length))
    text = Text(TextConfig(), encoder=encoder)
    batch = Batch(torch.arange(len(captions)), captions=captions)
    for name, shorter in {"encoder": encoder.encode(captions, length), "conditioner": text.encode(batch)}.items():
        found = shorter.padded(length)
        rows = slice(None, len(captions))
        yield Measurement(f"{name}.mask", _unequal(found.mask, mask[rows]), 0.0)
        yield Measurement(f"{name}.states", _masked_error(found.tokens, states[rows], mask[rows]), LIMIT)
    yield Measurement("null.mask", _unequal(text.null(1).padded(length).mask, mask[-1:]), 0.0)
    yield Measurement("token_ids", _unequal_tokens(encoder, captions, length, recorded["in.token_ids"], mask), 0.0)


def _unequal(ours: Tensor | None, recorded: Tensor) -> float:
    """Number of entries that differ. Infinite for another shape."""
    if ours is None or ours.shape != recorded.shape:
        return float("inf")
    return float((ours != recorded).sum())


def _masked_error(ours: Tensor, recorded: Tensor, mask: Tensor) -> float:
    """Relative error of unmasked states. Infinite for another shape or a non-finite value."""
    if ours.shape != recorded.shape or not ours.isfinite().all():
        return float("inf")
    return relative_max(ours[mask], recorded[mask]) if mask.any() else 0.0


def _unequal_tokens(encoder: HFText, captions: list[str], length: int, recorded: Tensor, mask: Tensor) -> float:
    """Number of unmasked tokens that differ. Padding is ignored."""
    tokens, seen = encoder.tokenize(captions, length)
    ours = [row[real].tolist() for row, real in zip(tokens, seen, strict=True)]
    theirs = [row[real].tolist() for row, real in zip(recorded, mask, strict=True)][: len(captions)]
    return float(sum(one != other for one, other in zip(ours, theirs, strict=True)))
