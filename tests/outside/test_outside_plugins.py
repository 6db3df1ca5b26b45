"""Self-Flow and Drifting, written from the documentation alone: contracts, a training on both tasks, the numbers."""

import importlib.util
import json
import math
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from nanogen_core import Condition, ConditionSpec, KeyedRNG, LatentSpec, Prediction, State
from nanogen_dit import LightningDiT, LightningDiTConfig
from tests.processes import forked

HERE = Path(__file__).parent
LATENT = LatentSpec(channels=3, height=8, width=8, factor=8)  # 16 tokens of 2 x 2 cells
CONDITION = ConditionSpec(width=5, length=1)
ROWS = 6


@pytest.fixture
def file(monkeypatch):
    """Return a function that imports a file without registering it, because registered plugins stay."""

    def load(name):
        spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture
def backbone():
    return LightningDiT(LightningDiTConfig(hidden=16, depth=2, heads=1), latent=LATENT, condition=CONDITION)


AUTHOR = """
import sys
import pytest
sys.path.insert(0, {folder!r})
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", {folder!r} + "/contracts_of_both.py"]))
"""


def test_both_pass_the_contracts():
    done = forked.python(AUTHOR.format(folder=str(HERE)))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[100%]" in done.stdout


TRAINING = """
import json
from pathlib import Path
from nanogen_core import Pipeline, build_pipeline, register
from nanogen_train import Run
register({file!r})
run = Run(build_pipeline(json.loads(Path("config.json").read_text())), Path("run"))
trained, saved = run.train(), Pipeline.load("run")
requests = trained.task.eval_batch(3)
assert saved.sample(requests).equal(trained.sample(requests))
print(json.dumps([list(saved.config.groups["guidance"]), int(run.stage.nets["memory"].seen)
                  if "memory" in run.stage.nets else None]))
"""
PARTS = {
    "self_flow": {"method": "my-self-flow", "auxiliary": {"my-self-flow": {"block": 1, "teacher_block": 2}}},
    "drifting": {"objective": "flow", "stage": {"name": "my-drifting", "generated": 4}},
}


@pytest.fixture
def config(small):
    """Return the settings of a run of two steps on the drawings, without those that the plugins choose."""
    kept = ("image_size", "dataset", "tokenizer", "optimizer")
    network = {"name": "lightning-dit", "hidden": 16, "depth": 2, "heads": 1, "patch_size": 1}
    train = {**small["train"], "steps": 2, "log_every": 1}
    return {**{key: small[key] for key in kept}, "backbone": network, "train": train}


@pytest.mark.parametrize("task", ["imagenet", "t2i"])
@pytest.mark.parametrize("name", PARTS)
def test_both_train_on_both_tasks(config, tmp_path, name, task):
    text = json.dumps({**config, "task": task, **PARTS[name]})
    (tmp_path / "config.json").write_text(text, encoding="utf-8")
    done = forked.python(TRAINING.format(file=str(HERE / f"{name}.py")), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    guidance, stored = json.loads(done.stdout.splitlines()[-1])
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    scalars = {"self_flow": {"flow", "my-self-flow.alignment"}, "drifting": {"drift"}}
    assert all(scalars[name] <= line.keys() for line in log)
    expected = {"self_flow": (["cfg"], None), "drifting": ([], 16)}  # two batches of 8
    assert (guidance, stored) == expected[name]


REFUSED = """
from nanogen_core import NanoGenError, build_pipeline, register
from nanogen_train import Run
register({file!r})
try:
    Run(build_pipeline(task="imagenet", objective="flow", stage="my-drifting", **{settings!r}), "run")
except NanoGenError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"sampler": "heun"}, "set sampler.steps to 1"),
        ({"auxiliary": "dispersive"}, "stage 'my-drifting' computes no auxiliary losses: remove dispersive"),
    ],
)
def test_what_a_stage_does_not_do_is_refused(config, tmp_path, settings, sentence):
    code = REFUSED.format(file=str(HERE / "drifting.py"), settings={**config, **settings})
    done = forked.python(code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert sentence in done.stdout


# -- the numbers of Self-Flow ------------------------------------------------------------------------------------------


def clean_state():
    return State(KeyedRNG(1, range(ROWS)).normal("clean", LATENT.shape))


def patch_of(row, column):
    """Return the number of the token that contains a cell."""
    return row // 2 * 4 + column // 2


def test_a_quarter_of_the_tokens_has_the_second_time(file, backbone):
    module = file("self_flow")
    config = module.MixedConfig(time_mean=None, shift=1.0)  # uniform times
    times = module.MixedFlow(config, latent=LATENT, backbone=backbone, condition=CONDITION).token_times(
        KeyedRNG(0, range(500))
    )
    assert times.shape == (500, 16)
    counts = [sorted(row.unique(return_counts=True)[1].tolist()) for row in times]
    assert counts == [[4, 12]] * 500
    common = times.median(dim=1).values[:, None]  # twelve tokens have the first time
    second = times != common
    assert (second.float().mean(0) - 0.25).abs().max() < 5 * math.sqrt(0.25 * 0.75 / 500)
    both = torch.stack((common[:, 0], times[second].unflatten(0, (500, 4))[:, 0]))
    assert (both.mean(1) - 0.5).abs().max() < 5 / math.sqrt(12 * 500)
    assert abs(torch.corrcoef(both)[0, 1]) < 5 / math.sqrt(500)


def test_the_loss_is_that_of_each_cell_at_the_time_of_its_token(file, backbone):
    module = file("self_flow")
    objective = module.MixedFlow(module.MixedConfig(), latent=LATENT, backbone=backbone, condition=CONDITION)
    clean, condition = clean_state(), Condition(torch.zeros(ROWS, 1, 5))

    def student(state, times, condition):
        return Prediction(State(2 * state.latent))

    losses = objective.loss({"student": student}, clean, condition, condition, KeyedRNG(0, range(ROWS)))
    noise, times = losses.forward_pass.noise.latent.tolist(), losses.forward_pass.times.t.tolist()
    errors = []
    for sample, channels in enumerate(clean.latent.tolist()):
        for channel, rows in enumerate(channels):
            for row, columns in enumerate(rows):
                for column, x in enumerate(columns):
                    t, n = times[sample][patch_of(row, column)], noise[sample][channel][row][column]
                    mixed = (1 - t) * x + t * n
                    errors.append((2 * mixed - (mixed - x) / max(t, 0.05)) ** 2)
    assert losses.total.item() == pytest.approx(sum(errors) / len(errors), rel=1e-5)


def test_the_teacher_reads_the_whole_sample_at_its_earlier_time(file, backbone):
    module = file("self_flow")
    parts = {"latent": LATENT, "backbone": backbone, "condition": CONDITION}
    objective = module.MixedFlow(module.MixedConfig(), **parts)
    teacher = module.Teacher(module.TeacherConfig(block=1, teacher_block=2), objective=objective, **parts)
    teacher.nets = nn.Identity()  # no projection: the features are compared as they are
    clean, condition = clean_state(), Condition(torch.zeros(ROWS, 1, 5))
    features = KeyedRNG(2, range(ROWS)).normal("features", (16, 12))

    def student(state, times, condition):
        return Prediction(state, {"block.1": features})

    def ema(state, times, condition, intermediates):
        return Prediction(state, {"block.2": patches(state.latent)})

    forward = objective.loss({"student": student}, clean, condition, condition, KeyedRNG(0, range(ROWS))).forward_pass
    loss = teacher.loss(forward, clean, None, {"ema": ema}, KeyedRNG(0, range(ROWS)))
    t = torch.tensor([min(row) for row in forward.times.t.tolist()])[:, None, None, None]
    target = patches((1 - t) * clean.latent + t * forward.noise.latent)
    cosine = (features * target).sum(-1) / (features.norm(dim=-1) * target.norm(dim=-1))
    assert loss.total.item() == pytest.approx(0.8 * (1 - cosine.mean().item()), rel=1e-5)


def patches(latent):
    """Return the 2 x 2 cells of each token as a vector: [B, 16, 12]."""
    return latent.unfold(2, 2, 2).unfold(3, 2, 2).permute(0, 2, 3, 1, 4, 5).flatten(1, 2).flatten(2)


# -- the numbers of Drifting -------------------------------------------------------------------------------------------


def points(*values):
    return torch.tensor(values, dtype=torch.float64)[None, :, None]  # [1, G, 1]


def test_two_points_and_one_real_one_drift_as_by_hand(file):
    drift = file("drifting").drift(points(0.0, 1.0), points(5.0), torch.zeros(1, 1, dtype=torch.float64), 0.2)
    assert drift.flatten().tolist() == pytest.approx([5 - 1, 5 - 0])  # to the real point, away from the other one


def test_a_point_between_two_real_ones_drifts_as_by_hand(file):
    weights = torch.tensor([[1.0, 2.0]], dtype=torch.float64).log()
    drift = file("drifting").drift(points(0.0, 1.0), points(-1.0, 2.0), weights, 0.5)
    left = [1 * math.exp(-1 / 0.5), 1 * math.exp(-2 / 0.5)]  # of the points at 0 and 1
    right = [2 * math.exp(-2 / 0.5), 2 * math.exp(-1 / 0.5)]
    means = [(2 * r - a) / (a + r) for a, r in zip(left, right, strict=True)]
    assert drift.flatten().tolist() == pytest.approx([means[0] - 1, means[1] - 0])


def test_the_gradient_of_the_loss_is_against_the_drift(file):
    module = file("drifting")
    stage = module.Drifting.__new__(module.Drifting)
    stage.config = module.DriftingConfig()
    rng = KeyedRNG(0, range(2))
    x, y, weights = rng.normal("x", (4, 7)).requires_grad_(), rng.normal("y", (3, 7)), rng.uniform("w", (3,)).log()
    stage.loss_of(x, y, weights).backward()
    assert torch.allclose(x.grad, -2 * module.drift(x.detach(), y, weights, 0.2) / x.numel(), atol=1e-7)


def test_the_memory_keeps_the_latest_and_finds_those_of_the_label(file):
    memory = file("drifting").Memory(3, (1, 1, 1), 2)
    apple, dog = torch.eye(2)
    memory.add(torch.tensor([1.0, 2.0]).reshape(2, 1, 1, 1), torch.stack((apple, dog)))
    found, weights = memory.nearest(apple[None], 2, 0.05)
    assert (found.flatten().tolist(), weights.flatten().tolist()) == ([1, 2], pytest.approx([0, -20]))
    memory.add(torch.tensor([3.0, 4.0]).reshape(2, 1, 1, 1), torch.stack((dog, dog)))
    found, weights = memory.nearest(apple[None], 5, 0.05)
    assert sorted(found.flatten().tolist()) == [2, 3, 4]
    assert weights.flatten().tolist() == pytest.approx([-20] * 3)
