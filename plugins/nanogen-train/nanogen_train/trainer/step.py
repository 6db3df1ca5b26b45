"""One training step, as the one module that DDP or FSDP wraps: the whole loss is computed inside its forward.

Wrapping the bare network instead loses the gradient synchronisation of every method that calls it through
`.module` (measured for MeanFlow).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from nanogen_core.errors import TrainingError
from nanogen_core.randomness import KeyedRNG
from nanogen_core.tensors import Batch, Losses
from nanogen_train.protocols import Stage

Part = tuple[Batch, range]  #: a part of the batch, and its slots in the global batch
OF_EVERY_PHASE = ("loss", "grad_norm")


class TrainStep(nn.Module):
    """`forward(phase, batch, rng)` is the stage's loss. `nets` are those that are trained: averages and teachers stand
    still, and need neither gradients nor a wrapper."""

    def __init__(self, stage: Stage):
        super().__init__()
        self.nets = nn.ModuleDict({name: net for name, net in stage.nets.items() if is_trained(net)})
        self._stage = [stage]  # in a list: the stage is no module of this one

    def forward(self, phase: str, batch: Batch, rng: KeyedRNG) -> Losses:
        return self._stage[0].loss(phase, batch, rng)


def is_trained(net: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in net.parameters())


def micro_batches(batch: Batch, slots: range, count: int) -> Iterator[Part]:
    """A process's part of the global batch, and its slots there, in `count` equal parts: what is computed at once.

    Raises TrainingError for unequal parts, whose mean would not be that of the batch.
    """
    size, rest = divmod(len(slots), count)
    if rest or not size:
        raise TrainingError(
            f"The {len(slots)} examples of a process cannot be accumulated in {count} equal parts: choose a"
            " train.grad_accum_steps that divides train.batch_size over the number of processes."
        )
    for start in range(0, len(slots), size):
        yield batch.part(start, start + size), slots[start : start + size]


def means(parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of each scalar over the parts of a batch."""
    if len(parts) == 1:
        return dict(parts[0])
    return {name: torch.stack([part[name].float() for part in parts]).mean() for name in parts[0]}


def named_by_phase(scalars: Mapping[str, Tensor], phase: str) -> dict[str, Tensor]:
    """The scalars of a later phase of a step, whose loss and gradient norm do not hide those of the first one."""
    return {f"{name}.{phase}" if name in OF_EVERY_PHASE else name: value for name, value in scalars.items()}
