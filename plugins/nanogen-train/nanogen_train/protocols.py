"""Protocols of training stages, auxiliary losses, optimizers and learning-rate schedules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from nanogen_core.pipeline import Pipeline
    from nanogen_core.protocols import Backbone
    from nanogen_core.randomness import KeyedRNG
    from nanogen_core.tensors import Batch, ForwardPass, Losses, State
    from nanogen_train.optim.fused import FusedRows


class Auxiliary(Protocol):
    """An additional loss on the objective's forward pass, such as REPA or a perceptual loss.

    Inherit from this class and define `loss`; the other members have the defaults below. A component that provides
    `cls-token` adds a `State.cls_token` of width `cls_token_width` (REG). The constructor
    of such a component must not require the backbone, because the backbone is built with that width.

    Attributes:
        intermediates: Names of block outputs to provide in `forward_pass.prediction.features`.
        nets: Networks that are trained and checkpointed with the backbone. A saved pipeline does not contain them.
        cls_token_width: Width of the class token; 0 for none.
        needs_images: Whether `loss` reads `batch.images`. Images that no part needs are discarded after `prepare`.
    """

    intermediates: Sequence[str] = ()
    nets: nn.Module | None = None
    cls_token_width: int = 0
    needs_images: bool = False

    def active(self, step: int) -> bool:
        """Return whether the loss is used at a step, counted from 0. By default always.

        At other steps neither `prepare` nor `loss` is called.
        """
        return True

    def prepare(self, batch: Batch) -> Mapping[str, Tensor]:
        """Compute what the loss needs from the images [B, 3, H, W], without gradient.

        The results [B, ...] are stored by name in `batch.extras`. By default there are none.
        """
        return {}

    def cls_token(self, batch: Batch) -> Tensor | None:
        """Return the clean class token [B, cls_token_width] of each example. By default None."""
        return None

    def loss(
        self, forward_pass: ForwardPass, clean: State, batch: Batch, nets: Mapping[str, Backbone], rng: KeyedRNG
    ) -> Losses:
        """Return the weighted loss. Its `parts` are logged under the auxiliary's name.

        Args:
            forward_pass: The objective's forward pass.
            clean: Clean latents and class token.
            batch: The batch, or micro-batch, after `prepare`.
            nets: The networks of the stage by name: "student" is the backbone in training, "ema" its EMA. A network
                takes `(state, times, condition, intermediates=(...))`.
            rng: Random numbers of these samples. `rng.step` is the step, counted from 0.

        A loss that couples the samples of a batch receives the micro-batch of one process.
        `nanogen_train.gather_rows(tensor)` returns the rows of all processes, with gradient.
        """
        raise NotImplementedError


class Stage(Protocol):
    """What the training loop runs: networks, and a loss for each optimizer.

    `nets` contains every tensor of the stage that a checkpoint must contain. A phase is an optimizer with its loss.
    `phase_names` are all phases; `phases(step)` returns the phases that update at a step, in order. The loss of a phase
    is computed after the updates of the phases before it. The learning-rate schedule of a phase starts at the phase's
    first update.

    FSDP shards the networks after the constructor has run. This replaces their parameters. FSDP gathers the weights in
    `prepare`, `loss` and `samples`.
    """

    nets: nn.ModuleDict
    phase_names: Sequence[str]

    def parameters_of(self, phase: str) -> Sequence[tuple[str, nn.Parameter]]:
        """Return the named, trainable parameters of a phase's optimizer."""

    def phases(self, step: int) -> Sequence[str]:
        """Return the phases that update at a step, in order."""

    def prepare(self, batch: Batch, step: int | None) -> Batch:
        """Run the frozen networks, such as the tokenizer, outside the differentiated step. Idempotent.

        Args:
            batch: Examples with images, or with precomputed latents.
            step: The step, counted from 0. None if the result is cached and used at every step.
        """

    def loss(self, phase: str, batch: Batch, rng: KeyedRNG) -> Losses:
        """Return the loss of a phase.

        Args:
            batch: The batch or micro-batch, after `prepare`.
            rng: Random numbers of the step, keyed by the slots in the global batch.
        """

    def after_step(self, step: int) -> None:
        """Update state such as EMA weights. Called after the optimizers of a step."""

    def samples(self, count: int) -> tuple[Tensor, Sequence[str]]:
        """Draw sample images for the sample sheets.

        Called on all processes at the same time; they may split the work (`nanogen_train.distributed.processes`).

        Args:
            count: Number of images.

        Returns:
            Images [count, 3, H, W] in [-1, 1] and their captions, on the first process.
        """

    def weights(self) -> Mapping[str, Mapping[str, Tensor]]:
        """Return the current weights for a saved pipeline: part -> state dict."""

    def finish(self) -> Pipeline:
        """Return the pipeline with the trained weights."""


class Optimizer(Protocol):
    """Builds the torch optimizer of one training phase."""

    def build(self, parameters: Sequence[tuple[str, nn.Parameter]], fused: FusedRows = ...) -> torch.optim.Optimizer:
        """Build an optimizer for named parameters.

        Args:
            parameters: Names and parameters. Parameters with `requires_grad=False` are ignored.
            fused: Maps each fused parameter to the row counts of its matrices (`nanogen_train.optim.fused`).
        """


class Schedule(Protocol):
    """A learning-rate schedule."""

    def factor(self, step: int) -> float:
        """Return the factor on the learning rate. `step` counts from 0 at the first update of the phase."""


@runtime_checkable
class Averaged(Protocol):
    """A stage whose current EMA weights can be sampled, for `train.evaluate`."""

    def averaged(self) -> Pipeline:
        """Return the pipeline with the current EMA weights. It shares all other parts with the trained pipeline."""


@runtime_checkable
class Snapshotting(Protocol):
    """A stage that saves EMA snapshots of its backbone. After training, EMAs of other widths are computed from them."""

    def snapshots(self, step: int) -> Mapping[float, Mapping[str, Tensor]]:
        """Return the EMA weights to save after `step` steps, by width; empty if none are due.

        `nanogen_train.ema.power_function` defines the width. Sharded weights may stay sharded.
        """
