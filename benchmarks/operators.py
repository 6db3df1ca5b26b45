"""Operators that one training step dispatches, by batch size: `python -m benchmarks.operators [--json]`.

The count must not grow with the batch: on a GPU, every operator is a kernel launch. It covers the whole step: random
numbers, forward pass, backward pass, gradient clipping, optimizer and EMA.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.speed import parts
from nanogen_core.tensors import Batch
from nanogen_train.trainer.loop import Run

#: Row -> options of the pipeline. Each MeanFlow step has an interval and computes du/dt.
METHODS: Mapping[str, dict[str, Any]] = {
    "flow": {},
    "meanflow": {"method": "meanflow", "objective": {"probability": 1.0}},
}
BATCHES = (32, 128, 512)


class Operators(TorchDispatchMode):
    """Counts the operators that are dispatched inside the context, by name."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        self.counts[str(func)] += 1
        return func(*args, **(kwargs or {}))


def step_operators(row: str, size: int) -> Counter[str]:
    """Return the operators of the second training step on `size` latents. The first step creates the state."""
    run = parts.run(parts.pipeline("tiny", train=parts.settings(batch_size=size), **METHODS[row]))
    given = latents(size)
    take(run, given)
    with Operators() as counted:
        take(run, given)
    return counted.counts


def take(run: Run, batch: Batch) -> None:
    """Make one step of the library's loop."""
    run._one_step(batch)


def latents(size: int) -> Batch:
    """Return a batch of random latents [size, 8, 8, 8] and labels, as a latent cache gives it."""
    generator = torch.Generator().manual_seed(0)
    shape = (size, parts.CHANNELS, parts.SIDE, parts.SIDE)
    labels = torch.randint(parts.CLASSES, (size,), generator=generator)
    return Batch(torch.arange(size), labels=labels, latents=torch.randn(shape, generator=generator))


def table() -> dict[str, dict[str, int]]:
    """Row -> batch size -> number of operators."""
    return {row: {str(size): step_operators(row, size).total() for size in BATCHES} for row in METHODS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="Print one JSON object.")
    found = table()
    if parser.parse_args().json:
        print(json.dumps(found))
        return
    for row, counts in found.items():
        print(f"{row:10}", "  ".join(f"batch {size}: {count}" for size, count in counts.items()))


if __name__ == "__main__":
    main()
