"""The audit: synthetic runs with one thing changed at a time, then real ones."""

import json
import math
import random
from copy import deepcopy

import pytest
from click.testing import CliRunner

from nanogen_bench.audit import logged
from nanogen_bench.audit.compare import audit
from nanogen_bench.audit.lines import DIFFERS, EQUAL, EXPECTED, UNKNOWN
from nanogen_bench.cli.audit import audit as command
from nanogen_core.errors import DataError
from nanogen_core.pipeline import build_pipeline
from nanogen_files import yaml_files
from nanogen_train.trainer.loop import Run

CLASS = {
    "task": {"name": "classes", "flip": True},
    "method": "vae",
    "image_size": 64,
    "seed": 0,
    "dataset": {"name": "drawings", "train": 64},
    "conditioner": {"name": "label", "learned": 8},
    "tokenizer": {"name": "vae"},
    "backbone": {"name": "dit", "hidden": 128},
    "objective": {"name": "flow", "prediction": "velocity"},
    "sampler": {"name": "euler", "steps": 25},
    "stage": {"name": "diffusion", "ema_decay": 0.999, "condition_dropout": 0.1},
    "optimizer": {"name": "adamw", "lr": 1e-3, "beta2": 0.95},
    "schedule": {"name": "constant"},
    "guidance": {"cfg": {"scale": 2.0}},
    "train": {"steps": 40, "batch_size": 64, "gradient_clip": 1.0, "precision": "auto", "log_every": 2},
}
TEXT = {
    **deepcopy(CLASS),
    "task": {"name": "texts"},
    "conditioner": {"name": "text", "length": None},
    "encoder": {"name": "minilm"},
    "guidance": {"cfg": {"scale": 6.0}},
}


def log(seed=0, **factors):
    """Twenty log lines whose figures wander a little; `factors` multiply some of them."""
    dice = random.Random(seed)
    means = {
        "loss": 0.8,
        "grad_norm": 0.4,
        "lr.student": 1e-3,
        "images": 64,
        "latent.std": 1.0,
        "latent.mean": 0.02,
        "weights.student": 50,
        "update.student": 1e-3,
        "state.student.exp_avg_sq": 1e-4,
        "flops.with_gradient": 1e10,
        "flops.without_gradient": 1e6,
    }
    fixed = ("lr.student", "images", "flops.with_gradient", "flops.without_gradient")
    entries = []
    for step in range(2, 42, 2):
        entry = {name: value * (1 if name in fixed else dice.uniform(0.97, 1.03)) for name, value in means.items()}
        entry |= {"draws.noise.std": dice.gauss(1.0, 0.01), "draws.noise.mean": dice.gauss(0.0, 0.01)}
        entries.append({"step": step, **{n: v * factors.get(n, 1) for n, v in entry.items()}, "seconds": step})
    return entries


def lay(folder, config, entries):
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml_files.dump(config))
    (folder / "log.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return folder


def changed(config, path, value):
    config = deepcopy(config)
    *parts, last = path.split(".")
    place = config
    for part in parts:
        place = place[part]
    place[last] = value
    return config


def verdicts(found):
    return {line.name: line.verdict for line in found.lines}


@pytest.fixture
def compared(tmp_path):
    """Audits a class run against another one."""

    def run(config=TEXT, entries=None, first=CLASS):
        a = lay(tmp_path / "a", first, log(seed=1))
        b = lay(tmp_path / "b", config, log(seed=2) if entries is None else entries)
        return audit(a, b)

    return run


# -- configurations --------------------------------------------------------------------------------------------------


def test_two_tasks_of_one_method_are_equal_but_for_the_task(compared):
    found = compared()
    assert found.equal
    assert {name for name, verdict in verdicts(found).items() if verdict == EXPECTED} == {
        "augmentation",
        "conditioning",
        "everything else",  # the guidance scale, which no training sees
    }
    assert "equal apart from the task" in found.verdict
    assert {line.key for line in found.configuration} >= {"task.name", "conditioner.name", "guidance.cfg.scale"}


@pytest.mark.parametrize(
    ("path", "value", "line"),
    [
        ("optimizer.lr", 2e-3, "learning rate"),
        ("optimizer.beta2", 0.999, "optimiser"),
        ("train.batch_size", 128, "batch size"),
        ("stage.ema_decay", 0.99, "EMA"),
        ("stage.condition_dropout", 0.2, "condition dropout"),
        ("schedule.name", "cosine", "schedule"),
        ("train.gradient_clip", 2.0, "gradient clipping"),
        ("train.steps", 80, "steps"),
        ("train.precision", "fp32", "precision"),
        ("objective.prediction", "x", "objective"),
        ("backbone.hidden", 256, "backbone"),
        ("image_size", 32, "tokenizer"),
        ("dataset.train", 32, "data"),  # the two tasks read the same drawings
        ("surprise", 1, "everything else"),
    ],
)
def test_a_changed_line_is_caught_and_no_other_is_blamed(compared, path, value, line):
    found = compared(changed(TEXT, path, value))
    assert not found.equal
    assert [name for name, verdict in verdicts(found).items() if verdict == DIFFERS] == [line]
    assert line in found.verdict


def test_another_dataset_for_another_task_is_expected(compared):
    assert verdicts(compared(changed(TEXT, "dataset", {"name": "photos", "root": "x"})))["data"] == EXPECTED


@pytest.mark.parametrize(("path", "value"), [("task.flip", False), ("conditioner.learned", 4)])
def test_with_one_task_nothing_is_excused_by_it(compared, path, value):
    found = compared(changed(CLASS, path, value))
    assert not found.equal
    assert "but for the task" not in found.verdict


def rule_of_the_rest(found):
    return next(line.rule for line in found.lines if line.name == "everything else")


@pytest.mark.parametrize(
    ("path", "value", "rule"),
    [
        ("seed", 5, "other random numbers, the same distribution"),
        ("train.log_every", 1, "does not affect training"),
        ("train.keep_every", 10, "does not affect training"),
        ("sampler.steps", 4, "does not affect training"),
        ("train.compile", "blocks", "affects only rounding"),
        ("train.cache_latents", True, "the same data, but perhaps other captions of an image"),
    ],
)
def test_what_may_differ_and_why(compared, path, value, rule):
    found = compared(changed(CLASS, path, value))
    assert found.equal
    assert rule_of_the_rest(found) == rule


def test_a_line_states_the_reason_of_each_option(compared):
    found = compared(changed(changed(changed(CLASS, "sampler.steps", 4), "seed", 5), "train.log_every", 1))
    assert rule_of_the_rest(found).split("; ") == [
        "seed: other random numbers, the same distribution",
        "sampler.steps, train.log_every: does not affect training",
    ]


# -- logs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "factor", "verdict"),
    [
        ("loss", 1.05, EQUAL),
        ("loss", 2.0, EXPECTED),
        ("loss", 5.0, DIFFERS),
        ("grad_norm", 10.0, DIFFERS),
        ("lr.student", 1.001, DIFFERS),
        ("images", 2.0, DIFFERS),
        ("latent.std", 1.3, EXPECTED),
        ("latent.std", 3.0, DIFFERS),  # latents that were never normalised
        ("draws.noise.std", 1.05, DIFFERS),
        ("update.student", 3.0, DIFFERS),
        ("state.student.exp_avg_sq", 5.0, EXPECTED),
        ("flops.with_gradient", 1.5, EXPECTED),
        ("flops.with_gradient", 6.0, DIFFERS),
        ("flops.without_gradient", 1e4, EXPECTED),
    ],
)
def test_a_measured_figure_by_its_rule(compared, name, factor, verdict):
    found = compared(entries=log(seed=2, **{name: factor}))
    assert verdicts(found)[name] == verdict
    assert found.equal == (verdict != DIFFERS)


@pytest.mark.parametrize(
    ("first", "second", "error", "verdict"),
    [(0.6, -0.01, 1.8, EXPECTED), (0.6, -0.9, 4.5, DIFFERS), (-0.50, -0.55, 1.05, EQUAL)],
)
def test_a_loss_with_a_learned_weight_is_compared_by_its_logarithm(first, second, error, verdict):
    """At the best weight w = -log(e) the loss exp(w) e - w is 1 + log(e)."""
    assert math.exp(first - second) == pytest.approx(error, rel=0.1)
    entries = [[{**entry, "loss": loss} for entry in log(seed=seed)] for seed, loss in ((1, first), (2, second))]
    curves = [logged.curves(each) for each in entries]
    (line,) = [line for line in logged.lines(*curves, True) if line.name == "loss"]
    assert line.verdict == verdict


@pytest.mark.parametrize("name", ["loss", "latent.std", "update.student", "flops.without_gradient"])
def test_with_one_task_measured_figures_must_be_near(compared, name):
    assert verdicts(compared(CLASS, log(seed=2, **{name: 1.4})))[name] == DIFFERS


def test_noise_of_the_same_kind_is_equal_in_nearly_every_pair_of_seeds():
    """Four standard errors of 10 logged steps each: about one false alarm in several hundred."""
    alarms = 0
    for seed in range(200):
        a, b = (logged.curves(log(seed=s)) for s in (seed, 1000 + seed))
        lines = logged.lines(a, b, True)
        alarms += sum(line.verdict == DIFFERS for line in lines if line.name.startswith("draws."))
    assert alarms <= 4


def test_a_figure_that_one_run_did_not_log_is_unknown_and_said(compared):
    entries = [{name: value for name, value in entry.items() if name != "latent.std"} for entry in log(seed=2)]
    found = compared(entries=entries)
    assert verdicts(found)["latent.std"] == UNKNOWN
    assert found.equal
    assert "Too few steps logged by both runs: latent.std" in found.verdict


def test_only_steps_that_both_logged_are_compared():
    first, second = [(2, 1.0), (4, 9.0), (6, 2.0), (8, 3.0)], [(4, 9.0), (6, 5.0), (8, 7.0)]
    assert logged.late(first, second) == ([(6, 2.0), (8, 3.0)], [(6, 5.0), (8, 7.0)])


def test_a_mean_of_zero_or_of_another_sign_is_no_division():
    for name in ("loss", "grad_norm"):
        lines = logged.lines({name: [(1, 0.0)]}, {name: [(1, 0.0)]}, True)
        assert lines[0].verdict == EQUAL
        lines = logged.lines({name: [(1, 0.6)]}, {name: [(1, -0.6)]}, True)
        assert lines[0].verdict == DIFFERS


def test_a_loss_that_is_no_number_differs(compared):
    entries = [{**entry, "loss": float("nan")} for entry in log(seed=2)]
    assert verdicts(compared(entries=entries))["loss"] == DIFFERS


# -- the command -----------------------------------------------------------------------------------------------------


def test_the_command_says_it_in_its_exit_status_and_draws(tmp_path):
    a, b = lay(tmp_path / "a", CLASS, log(1)), lay(tmp_path / "b", TEXT, log(2))
    c = lay(tmp_path / "c", changed(TEXT, "optimizer.lr", 1), log(2))
    equal = CliRunner().invoke(command, [str(a), str(b), "--plots", str(tmp_path / "plots")])
    assert equal.exit_code == 0, equal.output
    assert "guidance.cfg.scale: 2.0 -> 6.0" in equal.output
    drawing = (tmp_path / "plots" / "loss.svg").read_text()
    assert drawing.startswith('<svg xmlns="http://www.w3.org/2000/svg"')
    assert drawing.count("<polyline") == 2
    differing = CliRunner().invoke(command, [str(a), str(c), "--json"])
    assert differing.exit_code == 1
    told = json.loads(differing.output)
    assert told["equal"] is False
    assert told["curves"]["loss"][0][0] == [2, pytest.approx(0.8, rel=0.04)]


def test_a_drawing_of_the_users_is_not_replaced_and_no_other_one_is_written(tmp_path):
    a, b = lay(tmp_path / "a", CLASS, log(1)), lay(tmp_path / "b", TEXT, log(2))
    words = [str(a), str(b), "--plots", str(tmp_path / "plots")]
    assert [CliRunner().invoke(command, words).exit_code for _ in range(2)] == [0, 0]  # its own are replaced
    for file in (tmp_path / "plots").iterdir():
        file.unlink()
    (tmp_path / "plots" / "loss.svg").write_text("<svg/>")
    answer = CliRunner().invoke(command, words)
    assert "loss.svg exists, and is not a file that `nanogen bench audit` wrote" in str(answer.exception)
    assert [file.read_text() for file in (tmp_path / "plots").iterdir()] == ["<svg/>"]


def test_what_is_no_run_or_logged_nothing_is_a_sentence(tmp_path):
    a = lay(tmp_path / "a", CLASS, log(1))
    with pytest.raises(DataError, match="is not a run folder"):
        audit(a, tmp_path / "nothing")
    with pytest.raises(DataError, match="is empty. Train the run"):
        audit(a, lay(tmp_path / "b", TEXT, []))


# -- real runs -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A class run and a text run of one method, and text runs with one thing changed."""
    folder = tmp_path_factory.mktemp("runs")
    base = {
        "method": "vae",
        "image_size": 16,
        "dataset": {"name": "openmoji", "train": 64, "val": 16},
        "tokenizer": "openmoji-vae",
        "backbone": {"name": "lightning-dit", "hidden": 32, "depth": 2, "heads": 1},
        "sampler": {"steps": 1},
        "train": {"steps": 8, "batch_size": 16, "precision": "fp32", "log_every": 1, "sample_count": 1},
    }
    text = {**base, "task": "t2i"}
    configs = {
        "class": {**base, "task": "imagenet"},
        "text": text,
        "rate": {**text, "optimizer": {"lr": 4e-4}},
        "batch": {**text, "train": {**base["train"], "batch_size": 32}},
    }
    for name, config in configs.items():
        Run(build_pipeline(config), folder / name).train()
    return folder


def test_the_regimes_of_a_class_and_a_text_run_are_equal(runs):
    found = audit(runs / "class", runs / "text")
    assert found.equal, found.verdict
    names = verdicts(found)
    assert {"flops.with_gradient", "draws.noise.std", "update.student", "images", "latent.mean"} <= names.keys()
    assert UNKNOWN not in names.values()


@pytest.mark.parametrize(
    ("name", "lines"), [("rate", {"learning rate", "lr.student"}), ("batch", {"batch size", "images"})]
)
def test_a_real_run_with_another_rate_or_batch_is_caught(runs, name, lines):
    found = audit(runs / "class", runs / name)
    assert lines <= {line.name for line in found.lines if line.verdict == DIFFERS}
