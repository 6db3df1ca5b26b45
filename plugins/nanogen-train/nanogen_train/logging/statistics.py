"""What the audit of a run needs and a loss does not tell: measured at the steps that are logged, at no other.

A step is measured without waiting for the device: every figure stays a tensor until the log line is written. The
weights are kept twice while a measured step's optimiser moves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from nanogen_core.randomness import KeyedRNG
from nanogen_core.tensors import Batch
from nanogen_train.logging.flops import FlopCount
from nanogen_train.optim.optimization import Optimization

TINY = 1e-12  # below the norm of any weights that a step could be compared with


class RecordingRNG(KeyedRNG):
    """The same random numbers, remembered by what they were for."""

    def __init__(self, *args: Any, **options: Any):
        super().__init__(*args, **options)
        self.drawn: dict[str, Tensor] = {}

    def normal(self, purpose: str, shape: Sequence[int]) -> Tensor:
        self.drawn[purpose] = super().normal(purpose, shape)
        return self.drawn[purpose]

    def uniform(self, purpose: str, shape: Sequence[int] = ()) -> Tensor:
        self.drawn[purpose] = super().uniform(purpose, shape)
        return self.drawn[purpose]


class StepStatistics:
    """Figures of a step beside its losses, by the names under which they are logged.

    `weights.PHASE`: the L2 norm of what the phase trains. `update.PHASE`: that of its last change over it.
    `state.PHASE.KEY`: that of the optimiser's tensors of this key (`exp_avg`). `latent.mean`, `latent.std`: of the
    clean latents of the batch. `draws.PURPOSE.mean`, `.std`: of the random numbers (`noise`, `time`). `images`: of the
    global batch. `flops.with_gradient`, `flops.without_gradient`: see `FlopCount`; those of the process's first step.
    """

    def __init__(self, optimization: Optimization, images: int):
        self._optimization = optimization
        self._images = images
        self.flops: dict[str, float] | None = None  # kept in checkpoints: a resumed run has the same first step

    @contextmanager
    def counting(self, share: int) -> Iterator[None]:
        """Counts what the block computes for `share` images of the global batch, if nothing was counted before."""
        if self.flops is not None:
            yield
            return
        # eager: torch gives up for good on compiling what it first meets while kernels are being watched
        with torch.compiler.set_stance("force_eager"), FlopCount() as flops:
            yield
        self.flops = {name: count * self._images / share for name, count in flops.figures.items()}

    @contextmanager
    def moving(self, phase: str, measured: bool) -> Iterator[dict[str, Tensor]]:
        """Yields a dict that has the phase's figures once the block, in which its optimiser moves, is over."""
        found: dict[str, Tensor] = {}
        before = [tensor.detach().clone() for tensor in self._trained(phase)] if measured else []
        yield found
        if measured:
            found.update(self._of_phase(phase, before))

    def of_batch(self, batch: Batch, drawn: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The figures of a prepared batch, and of the numbers that were drawn for it."""
        tensors = {f"draws.{purpose}": numbers for purpose, numbers in drawn.items()}
        if batch.latents is not None:
            tensors["latent"] = batch.latents
        return _statistics(tensors)

    def cost(self) -> dict[str, Tensor]:
        """What a step takes: images and operations."""
        device = self._trained(next(iter(self._optimization.optimizers)))[0].device
        figures = {"images": float(self._images), **(self.flops or {})}
        return {name: torch.tensor(value, device=device) for name, value in figures.items()}

    def _trained(self, phase: str) -> list[Tensor]:
        optimizer = self._optimization.optimizers[phase]
        return [tensor for group in optimizer.param_groups for tensor in group["params"]]

    def _of_phase(self, phase: str, before: Sequence[Tensor]) -> dict[str, Tensor]:
        after = self._trained(phase)
        weights, change = norm(before), norm(torch._foreach_sub([tensor.detach() for tensor in after], list(before)))
        moments: dict[str, list[Tensor]] = {}
        for state in self._optimization.optimizers[phase].state_dict()["state"].values():
            for key, value in state.items():
                moments.setdefault(key, []).append(value)
        moments.pop("step", None)
        norms = {f"state.{phase}.{key}": norm(values) for key, values in moments.items()}
        return {f"weights.{phase}": norm(after), f"update.{phase}": change / weights.clamp(min=TINY), **norms}


def norm(tensors: Iterable[Tensor]) -> Tensor:
    """The L2 norm over all numbers of all tensors, sharded ones too: [], float32.

    Summed in float64 where the device has it: in float32 the last digit depends on where a tensor lies in memory.
    """
    detached = [tensor.detach() for tensor in tensors]
    summed = torch.float32 if detached[0].is_mps else torch.float64
    total = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(detached, 2, summed)))
    whole: Tensor = total.full_tensor() if hasattr(total, "full_tensor") else total
    return whole.float()


def _statistics(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    measured = {name: tensor.detach().float() for name, tensor in tensors.items()}
    means = {f"{name}.mean": tensor.mean() for name, tensor in measured.items()}
    return {**means, **{f"{name}.std": tensor.std(correction=0) for name, tensor in measured.items()}}
