"""Statistics of a training step that `bench audit` compares. Computed only on steps that are logged.

All values stay on the device until the log line is written. Weights are copied during the optimizer step of a logged
step.
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

EPS = 1e-12  # avoids division by zero for weights of norm 0


class RecordingRNG(KeyedRNG):
    """KeyedRNG that records the drawn numbers by purpose, such as "noise"."""

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
    """Statistics of a step, by their logged names.

    - `weights.PHASE`: L2 norm of the phase's parameters.
    - `update.PHASE`: L2 norm of the last change of the phase's parameters, divided by their norm before the change.
    - `state.PHASE.KEY`: L2 norm of the optimizer state `KEY`, such as `exp_avg`.
    - `latent.mean`, `latent.std`: mean and standard deviation of the clean latents of the batch.
    - `draws.PURPOSE.mean`, `draws.PURPOSE.std`: mean and standard deviation of the random numbers that were drawn for a
      purpose, such as `noise` or `time`.
    - `images`: size of the global batch.
    - `flops.with_gradient`, `flops.without_gradient`: see `FlopCount`; counted on the first step of the run.

    Args:
        optimization: The optimizers of the run.
        images: Size of the global batch.
    """

    def __init__(self, optimization: Optimization, images: int):
        self._optimization = optimization
        self._images = images
        self.flops: dict[str, float] | None = None  # saved in checkpoints; counted on the first step only

    @contextmanager
    def counting(self, share: int) -> Iterator[None]:
        """Count the FLOPs of a step in a `with` block. Counts only once.

        The block must process `share` images of the global batch.
        """
        if self.flops is not None:
            yield
            return
        # eager, because torch never compiles a function that it first sees under a dispatch mode
        with torch.compiler.set_stance("force_eager"), FlopCount() as flops:
            yield
        self.flops = {name: count * self._images / share for name, count in flops.figures.items()}

    @contextmanager
    def of_update(self, phase: str, enabled: bool) -> Iterator[dict[str, Tensor]]:
        """Compute the statistics of an optimizer step, which runs in the `with` block.

        Args:
            enabled: Compute them; otherwise the dict stays empty.

        Yields:
            A dict that contains the statistics after the block.
        """
        statistics: dict[str, Tensor] = {}
        before = [tensor.detach().clone() for tensor in self._trained(phase)] if enabled else []
        yield statistics
        if enabled:
            statistics.update(self._of_phase(phase, before))

    def of_batch(self, batch: Batch, drawn: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the statistics of a batch's latents and of its random numbers.

        Args:
            batch: The batch, after the stage's `prepare`.
            drawn: The random numbers that were drawn, by purpose (the name given to the KeyedRNG, such as "noise").
        """
        tensors = {f"draws.{purpose}": numbers for purpose, numbers in drawn.items()}
        if batch.latents is not None:
            tensors["latent"] = batch.latents
        return _statistics(tensors)

    def cost(self) -> dict[str, Tensor]:
        """Return the number of images and the FLOPs of a step, as scalars on the parameters' device.

        The keys are `images`, `flops.with_gradient` and `flops.without_gradient`. FLOPs are absent until they are
        counted.
        """
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
        return {f"weights.{phase}": norm(after), f"update.{phase}": change / weights.clamp(min=EPS), **norms}


def norm(tensors: Iterable[Tensor]) -> Tensor:
    """Return the L2 norm over all elements of all tensors, including sharded ones, as a float32 scalar.

    Accumulates in float64 if the device supports it; in float32 the last digit depends on memory alignment.
    """
    detached = [tensor.detach() for tensor in tensors]
    summed = torch.float32 if detached[0].is_mps else torch.float64
    total = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(detached, 2, summed)))
    full: Tensor = total.full_tensor() if hasattr(total, "full_tensor") else total
    return full.float()


def _statistics(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    enabled = {name: tensor.detach().float() for name, tensor in tensors.items()}
    means = {f"{name}.mean": tensor.mean() for name, tensor in enabled.items()}
    return {**means, **{f"{name}.std": tensor.std(correction=0) for name, tensor in enabled.items()}}
