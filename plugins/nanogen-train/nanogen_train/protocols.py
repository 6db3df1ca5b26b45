"""What a stage and an auxiliary loss must have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from nanogen_core.pipeline import Pipeline
    from nanogen_core.randomness import KeyedRNG
    from nanogen_core.tensors import Batch, ForwardPass, Losses, State
    from nanogen_train.optim.fused import FusedRows


class Auxiliary(Protocol):
    """A further loss term (REPA, perceptual) beside the objective's, on the same forward pass.

    A Component that provides `cls-token` adds `State.cls_token` with `cls_token_width` numbers (REG). Its constructor
    must not ask for the backbone, which is built with that width. Weights to train are in `nets`.
    """

    intermediates: Sequence[str]  # block outputs that it wants in `forward_pass.prediction.features`
    nets: nn.Module | None  # trained along with the student; not part of a saved pipeline
    cls_token_width: int  # 0: no token

    def prepare(self, batch: Batch) -> Mapping[str, Tensor]:
        """What it needs of the images [B, 3, H, W], without gradient: [B, ...] by name, kept in `batch.extras`."""

    def cls_token(self, batch: Batch) -> Tensor | None:
        """The clean token [B, token_width] of each example, or None."""

    def loss(self, forward_pass: ForwardPass, clean: State, batch: Batch, rng: KeyedRNG) -> Losses:
        """The weighted loss; `parts` are logged under the auxiliary's name. `rng` is that of the step."""


class Stage(Protocol):
    """What the training loop runs. It owns its networks and turns a batch into losses, one for each optimiser.

    `nets` holds everything that a checkpoint must hold; `phase_names` are all optimisers, of which `phases(step)` move,
    in this order: the loss of a phase is computed after the phases before it have moved their weights. The learning
    rate of a phase follows the schedule from the phase's own first update on.
    """

    nets: nn.ModuleDict
    phase_names: Sequence[str]

    def parameters_of(self, phase: str) -> Sequence[tuple[str, nn.Parameter]]:
        """The named, trainable parameters that the optimiser of this phase has."""

    def phases(self, step: int) -> Sequence[str]: ...

    def prepare(self, batch: Batch) -> Batch:
        """The frozen part of the work (encoding images), outside the differentiated step.

        A prepared batch comes back as it is.
        """

    def loss(self, phase: str, batch: Batch, rng: KeyedRNG) -> Losses: ...

    def after_step(self, step: int) -> None:
        """After the optimisers moved: EMA, queues."""

    def samples(self, count: int) -> tuple[Tensor, Sequence[str]]:
        """Pictures [count, 3, H, W] of the state so far, and their captions, for the grids.

        All processes call it at the same time and may divide the work (`nanogen_train.distributed.processes`). The
        first process returns all pictures.
        """

    def weights(self) -> Mapping[str, Mapping[str, Tensor]]:
        """What a saved pipeline gets of the state so far: part -> state dict."""

    def finish(self) -> Pipeline:
        """The pipeline with these weights."""


class Optimizer(Protocol):
    """Builds the torch optimizer of one training phase."""

    def build(self, parameters: Sequence[tuple[str, nn.Parameter]], fused: FusedRows = ...) -> torch.optim.Optimizer:
        """Build an optimizer for named parameters.

        Args:
            parameters: Names and parameters. Those with `requires_grad=False` are ignored.
            fused: The parameters that stack several matrices (`nanogen_train.optim.fused`).
        """


class Schedule(Protocol):
    """A learning-rate schedule."""

    def factor(self, step: int) -> float:
        """The factor on the learning rate at optimizer step `step`, counted from 0."""


@runtime_checkable
class Snapshotting(Protocol):
    """A stage that saves averages of its backbone, from which averages of other widths are made after training."""

    def snapshots(self, step: int) -> Mapping[float, Mapping[str, Tensor]]:
        """The parameters of the averages that are due after `step` steps, by their width; empty if none are.

        `nanogen_train.ema.power_function` defines the width. Sharded weights may stay sharded.
        """
