"""The training step as a single module, so that DDP or FSDP wraps every call of the stage's networks.

If only the network were wrapped, objectives that call it through `.module` would skip gradient synchronisation. This
was measured for MeanFlow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from nanogen_core.errors import TrainingError
from nanogen_core.randomness import KeyedRNG
from nanogen_core.tensors import Batch, Losses
from nanogen_files.errors import counted
from nanogen_train.protocols import Stage

MicroBatch = tuple[Batch, range]  #: a micro-batch, and its slots in the global batch
LOGGED_PER_PHASE = ("loss", "grad_norm")


class TrainStep(nn.Module):
    """Module whose forward is the stage's loss. `nets` contains the trained networks only; EMA copies and teachers need
    no wrapper.
    """

    def __init__(self, stage: Stage):
        super().__init__()
        self.nets = nn.ModuleDict({name: net for name, net in stage.nets.items() if is_trained(net)})
        self._stage = [stage]  # in a list, so that the stage is not registered as a submodule

    def forward(self, phase: str, batch: Batch, rng: KeyedRNG) -> Losses:
        """Return the stage's loss of a phase on a micro-batch."""
        return self._stage[0].loss(phase, batch, rng)

    def prepare(self, batch: Batch, step: int | None) -> Batch:
        """Return the batch after the stage's `prepare`."""
        return self._stage[0].prepare(batch, step)

    def samples(self, count: int) -> tuple[Tensor, Sequence[str]]:
        """Return the stage's sample images and their captions."""
        return self._stage[0].samples(count)


def is_trained(net: nn.Module) -> bool:
    """Return whether a network has parameters that require gradients."""
    return any(parameter.requires_grad for parameter in net.parameters())


def micro_batches(batch: Batch, slots: range, count: int) -> Iterator[MicroBatch]:
    """Split a process's share of the global batch into equal micro-batches.

    Args:
        batch: The process's share.
        slots: Slots of the process's share in the global batch.
        count: Number of micro-batches.

    Raises:
        TrainingError: `count` does not divide the share.
    """
    size = micro_batch_size(len(slots), count)
    for start in range(0, len(slots), size):
        yield batch.part(start, start + size), slots[start : start + size]


def micro_batch_size(examples: int, count: int) -> int:
    """Return the size of each of `count` micro-batches. Raises TrainingError if `count` does not divide `examples`."""
    size, rest = divmod(examples, count)
    if rest or not size:
        raise TrainingError(
            f"A process has {counted(examples, 'example')} per step, which cannot be split into {count} equal"
            " micro-batches: choose a train.grad_accum_steps that divides train.batch_size / number of processes."
        )
    return size


def means(parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return the mean of each scalar over the micro-batches."""
    if len(parts) == 1:
        return dict(parts[0])
    return {name: torch.stack([part[name].float() for part in parts]).mean() for name in parts[0]}


def named_by_phase(scalars: Mapping[str, Tensor], phase: str) -> dict[str, Tensor]:
    """Append the phase to the names of scalars that every phase logs, such as the loss."""
    return {f"{name}.{phase}" if name in LOGGED_PER_PHASE else name: value for name, value in scalars.items()}
