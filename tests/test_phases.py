"""A stage with two optimisers: their order, their schedules, their gradients, and the exact resume of all of it."""

import shutil

import pytest
import torch
from torch import nn

from nanogen_core import build_pipeline
from nanogen_core.cli.options import override_layer
from nanogen_core.config import combine, resolve
from nanogen_core.errors import ConfigError
from nanogen_core.pipeline import Pipeline
from nanogen_core.tensors import Losses
from nanogen_train.checkpoint import checkpoint
from nanogen_train.logging import metrics_log
from nanogen_train.trainer.loop import Run

LATER = 2  # the step of the second phase's first update


class Pair:
    """`first` moves by its learning rate at every step, `second` from `LATER` on; both note what they see of `first`.

    Adam's step from a constant gradient is the learning rate, so that the weights are the sum of all rates.
    """

    phase_names = ("first", "second")

    def __init__(self, pipeline: Pipeline):
        self.pipeline = pipeline
        pipeline.backbone.requires_grad_(False)  # this stage has networks of its own
        self.nets = nn.ModuleDict({name: nn.Linear(1, 1, bias=False) for name in self.phase_names})
        for net in self.nets.values():
            nn.init.zeros_(net.weight)
        self.seen: dict[str, list[float]] = {name: [] for name in self.phase_names}
        self.prepared = 0

    def phases(self, step):
        return self.phase_names if step >= LATER else self.phase_names[:1]

    def parameters_of(self, phase):
        return [(f"{phase}.weight", self.nets[phase].weight)]

    def prepare(self, batch, step):
        if batch.latents is not None:
            return batch
        self.prepared += len(batch.indices)
        return batch._replace(latents=torch.zeros(len(batch.indices), 1), images=None)

    def loss(self, phase, batch, rng):
        self.seen[phase].append(float(self.nets["first"].weight.detach()))
        return Losses(5 * self.nets[phase].weight.sum(), {phase: torch.tensor(1.0)})

    def after_step(self, step):
        pass

    def samples(self, count):
        return torch.zeros(count, 3, 8, 8), [""] * count

    def weights(self):
        return {}

    def finish(self):
        return self.pipeline


@pytest.fixture
def paired(small, monkeypatch):
    """The configuration of a run whose stage is the pair above."""
    monkeypatch.setattr("nanogen_train.trainer.loop.stage_of", Pair)
    small["schedule"] = {"name": "constant", "warmup_steps": 4}
    small["train"] |= {"log_every": 1, "checkpoint_every": 1, "keep_last": 9}
    small["optimizer"]["lr"] = 1e-2
    return small


def weights(folder, step):
    nets = checkpoint.load(folder, step)[0]["nets"]
    return [float(nets[f"{name}.weight"]) for name in Pair.phase_names]


def test_a_phase_sees_the_weights_that_the_phases_before_it_moved(paired, tmp_path):
    run = Run(build_pipeline(paired), tmp_path)
    run.train()
    # the rates are 1/4, 2/4, 3/4, 1, 1, 1 of 1e-2: the sum of all is what the first weight has moved by
    moved = [-0.01 * rate for rate in (0.25, 0.75, 1.5, 2.5, 3.5, 4.5)]
    assert run.stage.seen["first"] == pytest.approx([0.0, *moved[:-1]], rel=1e-5)
    assert run.stage.seen["second"] == pytest.approx(moved[LATER:], rel=1e-5)


def test_the_schedule_of_a_phase_starts_at_its_first_update(paired, tmp_path):
    Run(build_pipeline(paired), tmp_path).train()
    log = metrics_log.read(tmp_path)
    assert [entry["lr.first"] for entry in log] == pytest.approx([0.0025, 0.005, 0.0075, 0.01, 0.01, 0.01])
    assert [entry.get("lr.second") for entry in log] == [None, None, *map(pytest.approx, [0.0025, 0.005, 0.0075, 0.01])]
    assert weights(tmp_path, 6) == pytest.approx([-0.045, -0.025], rel=1e-5)


def test_the_figures_of_a_later_phase_have_its_name(paired, tmp_path):
    Run(build_pipeline(paired), tmp_path).train()
    last = metrics_log.read(tmp_path)[-1]
    assert last["loss"] == pytest.approx(5 * -0.035, rel=1e-5)
    assert last["loss.second"] == pytest.approx(5 * -0.015, rel=1e-5)
    assert (last["grad_norm"], last["grad_norm.second"]) == pytest.approx((5, 5))


@pytest.mark.parametrize("kept", [1, 2, 4])
def test_resume_is_exact_before_and_after_the_later_start(paired, tmp_path, kept):
    Run(build_pipeline(paired), tmp_path).train()
    whole = weights(tmp_path, 6)
    for step in range(kept + 1, 7):
        shutil.rmtree(checkpoint.path_of(tmp_path, step))
    Run(build_pipeline(paired), tmp_path, resume=True).train()
    assert weights(tmp_path, 6) == whole


@pytest.mark.parametrize("parts", [1, 4])
def test_a_batch_is_prepared_once_for_all_phases(paired, tmp_path, parts):
    paired["train"]["grad_accum_steps"] = parts
    run = Run(build_pipeline(paired), tmp_path)
    run.train()
    assert run.stage.prepared == 6 * 8
    assert len(run.stage.seen["second"]) == 4 * parts
    assert weights(tmp_path, 6) == pytest.approx([-0.045, -0.025], rel=1e-5)


@pytest.mark.parametrize(("clip", "kept"), [(None, 5.0), (1.0, 1.0), (7.0, 5.0)])
def test_gradients_are_clipped_or_not(paired, tmp_path, clip, kept):
    """The first moment after one step is a tenth of the gradient."""
    paired["train"] |= {"gradient_clip": clip, "steps": 1}
    Run(build_pipeline(paired), tmp_path).train()
    assert metrics_log.read(tmp_path)[0]["grad_norm"] == pytest.approx(5)
    state = checkpoint.load(tmp_path, 1)[0]["optimizer-first"]
    assert float(state["first.weight|exp_avg"]) == pytest.approx(kept / 10, rel=1e-5)


def test_no_clipping_is_written_as_null(small):
    resolved = resolve(combine(small, override_layer(("train.gradient_clip=null",))))
    assert resolved.sections["train"].gradient_clip is None
    assert resolved.as_dict()["train"]["gradient_clip"] is None
    assert resolve(resolved.as_dict()).sections["train"].gradient_clip is None
    with pytest.raises(ConfigError, match="gradient_clip"):
        resolve(combine(small, override_layer(("train.gradient_clip=0",))))
