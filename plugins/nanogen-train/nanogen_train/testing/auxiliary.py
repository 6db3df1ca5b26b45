"""Contract tests for auxiliary losses."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from nanogen_core.pipeline import Pipeline
from nanogen_core.randomness import KeyedRNG
from nanogen_core.tensors import Batch, ForwardPass, Losses, State
from nanogen_core.testing.comparison import fill_zero_parameters, global_rng_untouched
from nanogen_train.protocols import Auxiliary
from nanogen_train.stages.diffusion import with_intermediates

ROWS = 4


class AuxiliaryContract:
    """Contract of an auxiliary loss, inside a pipeline.

    Fixtures:
        pipeline: A pipeline with the auxiliary, on any task. It need not be trained.

    Attributes:
        name: Name of the auxiliary in the pipeline; by default the only one.
        couples: Whether the loss of a sample depends on the other samples of the batch.
        step: A step at which the loss is active.
    """

    name: str | None = None
    couples: bool = False
    step: int = 0

    def auxiliary(self, pipeline: Pipeline) -> Auxiliary:
        """Return the tested auxiliary."""
        members = pipeline.parts["auxiliaries"]
        found: Auxiliary = members[self.name or next(iter(members))]
        return found

    def batch(self, pipeline: Pipeline) -> Batch:
        """Return four training examples with their images."""
        batch: Batch = next(iter(pipeline.task.batches("train", ROWS)))
        return batch

    def loss_of(self, pipeline: Pipeline, *, rows: slice = slice(0, ROWS), step: int | None = None) -> Losses:
        """Return the auxiliary loss of the examples `rows` of the batch, after a forward pass of the objective."""
        auxiliary, batch = self.auxiliary(pipeline), self.batch(pipeline).part(*rows.indices(ROWS)[:2])
        with torch.no_grad():
            latents, extras = pipeline.tokenizer.encode(batch.images).float(), auxiliary.prepare(batch)
        batch = batch._replace(latents=latents, extras=extras, images=batch.images if auxiliary.needs_images else None)
        clean = State(latents, auxiliary.cls_token(batch))
        nets, rng = self.nets(pipeline), KeyedRNG(3, range(ROWS)[rows], step=self.step if step is None else step)
        forward_pass = self.forward_pass(pipeline, nets, clean, batch, rng)
        return auxiliary.loss(forward_pass, clean, batch, nets, rng)

    def nets(self, pipeline: Pipeline) -> dict[str, Any]:
        """Return the backbone as "student" and as "ema". Fills its all-zero parameters with noise."""
        fill_zero_parameters(pipeline.backbone)
        return {"student": pipeline.backbone, "ema": pipeline.backbone}

    def forward_pass(
        self, pipeline: Pipeline, nets: dict[str, Any], clean: State, batch: Batch, rng: KeyedRNG
    ) -> ForwardPass:
        """Return the objective's forward pass with the intermediates of the auxiliary."""
        student = with_intermediates(nets["student"], self.auxiliary(pipeline).intermediates)
        condition, null = pipeline.conditioner.encode(batch), pipeline.conditioner.null(len(batch.indices))
        losses: Losses = pipeline.objective.loss({**nets, "student": student}, clean, condition, null, rng)
        assert losses.forward_pass is not None
        return losses.forward_pass

    def test_has_the_members_of_the_protocol(self, pipeline: Pipeline) -> None:
        auxiliary = self.auxiliary(pipeline)
        assert [name for name in vars(Auxiliary) if not name.startswith("_") and not hasattr(auxiliary, name)] == []
        assert auxiliary.active(self.step)

    def test_loss_is_a_finite_scalar(self, pipeline: Pipeline) -> None:
        losses = self.loss_of(pipeline)
        assert losses.total.shape == ()
        assert losses.total.isfinite()
        assert not any(part.requires_grad for part in losses.parts.values())

    def test_loss_trains_its_networks_and_the_backbone(self, pipeline: Pipeline) -> None:
        auxiliary = self.auxiliary(pipeline)
        losses = self.loss_of(pipeline)
        if auxiliary.cls_token_width and not losses.total.requires_grad:
            return  # the objective computes the loss of the class token
        losses.total.backward()  # type: ignore[no-untyped-call]
        own = [] if auxiliary.nets is None else [*auxiliary.nets.named_parameters()]
        assert [name for name, p in own if p.requires_grad and (p.grad is None or not p.grad.isfinite().all())] == []
        assert any(p.grad is not None and bool(p.grad.any()) for p in pipeline.backbone.parameters())

    def test_networks_are_modules(self, pipeline: Pipeline) -> None:
        nets = self.auxiliary(pipeline).nets
        assert nets is None or isinstance(nets, nn.Module)

    def test_prepared_extras_have_a_row_for_each_example(self, pipeline: Pipeline) -> None:
        batch = self.batch(pipeline)
        extras = self.auxiliary(pipeline).prepare(batch)
        assert [name for name, value in extras.items() if len(value) != ROWS or value.requires_grad] == []

    def test_class_token_has_its_width(self, pipeline: Pipeline) -> None:
        auxiliary, batch = self.auxiliary(pipeline), self.batch(pipeline)
        token = auxiliary.cls_token(batch._replace(extras=auxiliary.prepare(batch)))
        assert (0 if token is None else token.shape[1]) == auxiliary.cls_token_width

    def test_loss_uses_only_its_rng(self, pipeline: Pipeline) -> None:
        self.auxiliary(pipeline)  # it is built on first access, and its initial weights are from the global generator
        with global_rng_untouched():
            first, again = (self.loss_of(pipeline).total.item() for _ in range(2))
        assert first == again

    def test_loss_is_the_mean_over_samples(self, pipeline: Pipeline) -> None:
        """If the loss were not a mean, gradient accumulation and data parallelism would change the result."""
        if self.couples:
            return
        halves = [self.loss_of(pipeline, rows=rows).total.item() for rows in (slice(0, 2), slice(2, 4))]
        whole = self.loss_of(pipeline).total.item()
        assert abs(sum(halves) / 2 - whole) <= 1e-4 * max(1.0, abs(whole))
