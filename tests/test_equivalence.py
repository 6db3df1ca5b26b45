"""The benchmark of training equivalence: what it reads, how it compares, and a short form of its own run."""

import json
import math

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file
from scipy.stats import ttest_ind_from_stats

from benchmarks.equivalence.__main__ import OWN, main
from benchmarks.equivalence.comparison import compare, standard_error
from benchmarks.equivalence.curve import curves_in, read
from benchmarks.equivalence.training import pipeline_of, train
from nanogen_core.errors import DataError

NETWORK = {
    "kind": "ddt", "hidden": [16, 24], "depth": [1, 2], "heads": [1, 2], "patch": 2,
    "channels": 3, "side": 4, "classes": 5, "t_tokens": 2, "c_tokens": 3,
}  # fmt: skip
TRAINING = {
    "steps": 4, "batch": 6, "sampling_of_rows": "uniform with replacement", "optimizer": "AdamW", "lr": 0.01,
    "betas": [0.8, 0.9], "eps": 1e-7, "weight_decay": 0.1, "clip": 0.5, "ema": 0.75, "label_dropout": 0.3,
    "time": "logit-normal -0.8 1.5, shift 2.5", "t_eps": 0.1, "prediction": "x", "precision": "float32",
}  # fmt: skip


@pytest.fixture
def made(tmp_path):
    """Writes a curve with random data, its means all 1, and returns its path."""

    def write(network=NETWORK, training=TRAINING, mean=(1.0, 1.0), sd=0.1, name="training_curve_made"):
        torch.manual_seed(0)
        moments = {"mean": list(mean), "sd": [sd, sd]}
        recorded = {"network": network, "training": training, "steps": [2, 4], "seeds": 6, "student": moments,
                    "average": moments}  # fmt: skip
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(recorded))
        shape = (3, 4, 4)
        tensors = {"latents": torch.randn(20, *shape).half(), "labels": torch.randint(5, (20,))}
        tensors |= {"val.latents": torch.randn(8, *shape).half(), "val.noise": torch.randn(8, *shape).half()}
        save_file(
            tensors | {"val.labels": torch.randint(5, (8,)), "val.t": torch.rand(8)}, path.with_suffix(".safetensors")
        )
        return path

    return write


# -- reading -----------------------------------------------------------------------------------------------------------


def test_every_setting_reaches_the_configuration(made):
    config = pipeline_of(read(made()), seed=3).config
    parts = {kind: part.config for kind, part in config.slots.items() if part.config is not None}
    assert config.slots["backbone"].name == "ddt"
    backbone = parts["backbone"]
    assert (backbone.trunk.hidden, backbone.trunk.depth, backbone.trunk.heads) == (16, 1, 1)
    assert (backbone.decoder.hidden, backbone.decoder.depth, backbone.decoder.heads) == (24, 2, 2)
    assert (backbone.patch_size, backbone.time_tokens, backbone.init) == (2, 2, "published")
    objective = parts["objective"]
    assert (objective.time_mean, objective.time_std, objective.shift) == (-0.8, 1.5, 2.5)
    assert (objective.prediction, objective.t_eps) == ("x", 0.1)
    optimizer = parts["optimizer"]
    assert (optimizer.lr, optimizer.beta1, optimizer.beta2, optimizer.eps) == (0.01, 0.8, 0.9, 1e-7)
    assert optimizer.weight_decay == 0.1
    assert (parts["stage"].ema_decay, parts["stage"].condition_dropout) == (0.75, 0.3)
    assert parts["conditioner"].learned == 3
    train_config = config.sections["train"]
    assert (train_config.steps, train_config.batch_size, train_config.gradient_clip) == (4, 6, 0.5)
    assert config.seed == 3


@pytest.mark.parametrize(
    "trunk",
    [
        {"hidden": 16, "decoder_hidden": 24, "depth": 1, "decoder_depth": 2, "heads": 1, "decoder_heads": 2},
        {"encoder": {"hidden": 16, "depth": 1, "heads": 1}, "decoder": {"hidden": 24, "depth": 2, "heads": 2}},
        {"hidden_size": [16, 24], "depth": [1, 2], "num_heads": [1, 2]},
    ],
)
def test_a_ddt_may_be_written_in_several_ways(made, trunk):
    network = {name: value for name, value in NETWORK.items() if name not in ("hidden", "depth", "heads")} | trunk
    assert read(made(network)).network == read(made()).network


@pytest.mark.parametrize(
    ("network", "training", "sentence"),
    [
        ({"kind": "unet"}, {}, "The recorded kind is 'unet'. This benchmark supports ddt, lightningdit"),
        ({"qk_norm": False}, {}, "recorded network has settings that this benchmark does not support: qk_norm"),
        ({"kind": "lightningdit"}, {}, r"recorded network has hidden \[16, 24\]: a lightning-dit needs 1 value"),
        ({"depth": 3}, {}, r"recorded network has depth \[3\]: a ddt needs 2 value"),
        ({}, {"warmup": 5}, "recorded training has settings that this benchmark does not support: warmup"),
        ({}, {"optimizer": "Muon"}, "The recorded optimizer is 'Muon'. This benchmark supports AdamW"),
        ({}, {"time": "uniform"}, "The recorded time is 'uniform'. It must have the form 'logit-normal MEAN STD"),
        ({}, {"prediction": "noise"}, "The recorded prediction is 'noise'. This benchmark supports velocity, x"),
    ],
)  # fmt: skip
def test_what_it_does_not_know_is_an_error(made, network, training, sentence):
    with pytest.raises(DataError, match=sentence):
        read(made(NETWORK | network, TRAINING | training))


def test_a_missing_setting_is_named(made):
    with pytest.raises(DataError, match="The recorded training has no 'ema'"):
        read(made(training={name: value for name, value in TRAINING.items() if name != "ema"}))


def test_a_folder_without_curves_is_an_error(tmp_path):
    with pytest.raises(DataError, match="There is no training curve"):
        curves_in(tmp_path)
    answer = CliRunner().invoke(main, [str(tmp_path)])
    assert answer.exit_code == 1
    assert "There is no training curve" in answer.output


# -- comparing ---------------------------------------------------------------------------------------------------------


def test_the_standard_error_is_that_of_students_test():
    ours, mean, sd, count = [1.1, 1.3, 1.25, 0.9], 1.5, 0.2, 6
    own = torch.tensor(ours, dtype=torch.float64)
    expected = ttest_ind_from_stats(float(own.mean()), float(own.std()), len(ours), mean, sd, count).statistic
    assert (sum(ours) / 4 - mean) / standard_error(ours, sd, count) == pytest.approx(expected)
    assert standard_error([1.0], sd, count) == pytest.approx(sd * math.sqrt(1 + 1 / 6))


def test_points_hold_up_to_three_standard_errors(made):
    curve = read(made(mean=(1.0, 2.0), sd=0.06))
    error = 0.06 * math.sqrt(1 + 1 / 6)
    run = {"student": [1.0 + 2.99 * error, 2.0 - 3.01 * error], "average": [1.0, math.nan]}
    points = compare(curve, [run])
    assert [(point.weights, point.step, point.holds) for point in points] == [
        ("student", 2, True), ("student", 4, False), ("average", 2, True), ("average", 4, False),
    ]  # fmt: skip
    assert points[1].distance == pytest.approx(-3.01)


# -- running -----------------------------------------------------------------------------------------------------------


def test_the_command_says_what_holds_by_its_exit_status(made, tmp_path):
    """A made-up curve of a DDT: its means are those of other seeds of ours, then others."""
    curve = read(made())
    runs = [train(curve, seed) for seed in range(10, 16)]
    means = torch.tensor([run["student"] for run in runs]).mean(dim=0)
    path = made(mean=means.tolist(), sd=5.0)
    answer = CliRunner().invoke(main, [str(path.parent), "--seeds", "3"])
    assert answer.exit_code == 0, answer.output
    assert "training_curve_made: 3 seeds of ours, 6 published, limit 3 errors  holds (4 compared)" in answer.output
    made(mean=(means + 1).tolist(), sd=1e-3)
    answer = CliRunner().invoke(main, [], env={"NANOGEN_FIDELITY_FIXTURES": str(tmp_path)})
    assert answer.exit_code == 1
    assert "MISSES 4 of 4" in answer.output


def test_fewer_than_three_seeds_are_refused():
    assert CliRunner().invoke(main, ["--seeds", "2"]).exit_code == 2


@pytest.mark.parametrize("path", curves_in(OWN), ids=lambda path: path.stem)
def test_the_first_recorded_step_is_that_of_the_published_code(path):
    """The short form: one seed of ours, whose spread is taken to be the published one's. Xavier-uniform initial weights
    are ten (student) and sixteen (average) standard errors off here."""
    curve = read(path)
    points = compare(curve, [train(curve, seed=0, until=curve.steps[0])])
    assert len(points) == 2
    assert {(point.weights, point.step): point.distance for point in points if not point.holds} == {}
