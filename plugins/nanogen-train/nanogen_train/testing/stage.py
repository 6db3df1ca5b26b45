"""Contract tests for training stages."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nanogen_core.pipeline import Pipeline
from nanogen_core.randomness import KeyedRNG
from nanogen_core.tensors import Batch
from nanogen_core.testing.comparison import global_rng_untouched
from nanogen_train.protocols import Stage
from nanogen_train.stages.build import stage_of

ROWS = 4
RATE = 1e-3


class StageContract:
    """Contract of a stage. The tests call the stage's methods in the order of the training loop.

    Fixtures:
        pipeline: A pipeline with the stage. Its dataset must be readable.

    Attributes:
        step: A step at which every phase updates.
    """

    step: int = 0

    def batch(self, pipeline: Pipeline) -> Batch:
        """Return four training examples."""
        batch: Batch = next(iter(pipeline.task.batches("train", ROWS)))
        return batch

    def update(self, stage: Stage, batch: Batch, step: int) -> dict[str, float]:
        """Take one gradient step in every phase that updates at `step`. Return the losses by phase."""
        losses = {}
        for phase in stage.phases(step):
            batch = stage.prepare(batch, step)
            total = stage.loss(phase, batch, KeyedRNG(0, range(ROWS), step=step)).total
            total.backward()  # type: ignore[no-untyped-call]
            _descend(stage, phase)
            losses[phase] = total.item()
        stage.after_step(step)
        return losses

    def test_phases_are_named(self, pipeline: Pipeline) -> None:
        stage = stage_of(pipeline)
        assert stage.phase_names
        assert set(stage.phases(self.step)) == set(stage.phase_names)

    def test_every_phase_trains_its_parameters(self, pipeline: Pipeline) -> None:
        stage = stage_of(pipeline)
        before = {phase: _copies(stage, phase) for phase in stage.phase_names}
        losses = [self.update(stage, self.batch(pipeline), step) for step in range(self.step, self.step + 4)]
        assert all(torch.tensor([*each.values()]).isfinite().all() for each in losses)
        for phase in stage.phase_names:
            after = _copies(stage, phase)
            assert any(not torch.equal(before[phase][name], after[name]) for name in after), phase

    def test_no_parameter_is_in_two_phases(self, pipeline: Pipeline) -> None:
        stage = stage_of(pipeline)
        ids = [id(p) for phase in stage.phase_names for _, p in stage.parameters_of(phase)]
        assert len(ids) == len(set(ids))

    def test_trained_parameters_are_in_nets(self, pipeline: Pipeline) -> None:
        stage = stage_of(pipeline)
        assert isinstance(stage.nets, nn.ModuleDict)
        known = {id(p) for p in stage.nets.parameters()}
        trained = [(name, p) for phase in stage.phase_names for name, p in stage.parameters_of(phase)]
        assert [name for name, p in trained if id(p) not in known] == []

    def test_prepare_is_idempotent(self, pipeline: Pipeline) -> None:
        stage = stage_of(pipeline)
        once = stage.prepare(self.batch(pipeline), self.step)
        again = stage.prepare(once, self.step)
        assert once.latents is not None
        assert again.latents is not None
        assert torch.equal(once.latents, again.latents)
        assert once.extras.keys() == again.extras.keys()

    def test_loss_uses_only_its_rng(self, pipeline: Pipeline) -> None:
        stage = stage_of(pipeline)
        batch = stage.prepare(self.batch(pipeline), self.step)
        for phase in stage.phases(self.step):
            with global_rng_untouched():
                totals = [stage.loss(phase, batch, KeyedRNG(0, range(ROWS), step=self.step)).total for _ in range(2)]
            assert totals[0].item() == totals[1].item(), (
                "The second call of `loss` has another result: draw numbers from `rng`, and update memories in"
                " `after_step`."
            )

    def test_a_resumed_stage_continues_alike(self, pipeline: Pipeline) -> None:
        """`nets` contains all state: a stage with a copy of it computes the same losses afterwards."""
        stage, batch = stage_of(pipeline), self.batch(pipeline)
        self.update(stage, batch, self.step)
        saved = {name: value.clone() for name, value in stage.nets.state_dict().items()}
        first = self.update(stage, batch, self.step + 1)
        self.update(stage, batch, self.step + 2)
        stage.nets.load_state_dict(saved)
        again = self.update(stage, batch, self.step + 1)
        assert first == again

    def test_samples_are_images_with_captions(self, pipeline: Pipeline) -> None:
        images, captions = stage_of(pipeline).samples(2)
        assert images.ndim == 4
        assert images.shape[1] == 3
        assert len(images) == len(captions)

    def test_weights_are_those_of_parts(self, pipeline: Pipeline) -> None:
        stage = stage_of(pipeline)
        for state in stage.weights().values():
            assert state
            assert all(isinstance(value, Tensor) for value in state.values())
        assert isinstance(stage.finish(), Pipeline)


def _copies(stage: Stage, phase: str) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in stage.parameters_of(phase)}


@torch.no_grad()
def _descend(stage: Stage, phase: str) -> None:
    """Update the parameters of a phase, and drop all gradients."""
    for _, parameter in stage.parameters_of(phase):
        if parameter.grad is not None:
            parameter.sub_(RATE * parameter.grad)
    for parameter in stage.nets.parameters():
        parameter.grad = None
