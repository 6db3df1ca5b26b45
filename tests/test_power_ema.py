"""Averages along power functions: the mathematics against quadrature and explicit sums, the files, the command."""

import math
import shutil

import numpy as np
import pytest
import torch
import yaml
from click.testing import CliRunner
from scipy.integrate import quad

from nanogen_core import Pipeline, build_pipeline
from nanogen_core.config import resolve
from nanogen_core.errors import ConfigError, DataError
from nanogen_files import storage
from nanogen_train.checkpoint import checkpoint
from nanogen_train.cli.ema import ema as command
from nanogen_train.ema import posthoc as reconstruction
from nanogen_train.ema import snapshots
from nanogen_train.ema.posthoc import reconstruct
from nanogen_train.ema.power_function import MAX_ERROR, Basis, Profile, decay, gamma_of, products
from nanogen_train.ema.snapshots import Snapshot
from nanogen_train.ema.tracked import PowerFunctionEMA
from nanogen_train.stages.diffusion_settings import WIDEST, SnapshotConfig
from nanogen_train.trainer.loop import Run
from tests.processes import forked

WIDTHS = (0.05, 0.10)


def density(profile):
    """The profile as a function of time, from its definition."""
    return lambda tau: (profile.gamma + 1) * tau**profile.gamma / profile.step ** (profile.gamma + 1)


def integral(function, end):
    return quad(function, 0, end, epsabs=0, epsrel=1e-11, limit=200)[0]


def weights(gamma, step):
    """What each of `step` steps weighs in the average: the integral of its profile over the step."""
    ends = np.arange(step + 1) / step
    return np.diff(ends ** (gamma + 1))


# -- the mathematics -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [0.01, 0.05, 0.1, 0.15, 0.2, 0.25, 0.288])
def test_the_exponent_of_a_width_gives_a_profile_of_this_deviation(width):
    p = density(Profile(1, gamma_of(width)))
    mean = integral(lambda tau: tau * p(tau), 1)
    variance = integral(lambda tau: (tau - mean) ** 2 * p(tau), 1)
    assert math.sqrt(variance) == pytest.approx(width, rel=1e-8)


def test_the_published_exponents():
    """Section 3 of the paper: sigma_rel 0.05 and 0.10 are gamma 16.97 and 6.94; the widest is the plain mean."""
    assert [round(gamma_of(width), 2) for width in WIDTHS] == [16.97, 6.94]
    assert gamma_of(WIDEST) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("first", [(7, 16.97), (30, 6.94), (30, 0.0), (12, 2.5)])
@pytest.mark.parametrize("second", [(30, 16.97), (30, 0.5), (5, 6.94), (12, 2.5)])
def test_inner_products_are_integrals_of_products(first, second):
    a, b = Profile(*first), Profile(*second)
    expected = integral(lambda tau: density(a)(tau) * density(b)(tau), min(a.step, b.step))
    assert products([a], [b])[0, 0] == pytest.approx(expected, rel=1e-9)


def test_the_update_is_the_weighted_sum_of_all_steps():
    gamma, values = gamma_of(0.1), np.random.default_rng(0).normal(size=40)
    average = 100.0  # whatever was there before: the first step takes its place
    for step, value in enumerate(values, start=1):
        average = decay(gamma, step) * average + (1 - decay(gamma, step)) * value
        assert average == pytest.approx(weights(gamma, step) @ values[:step], rel=1e-12)


def snapshot_profiles(every, count, widths=WIDTHS):
    return [Profile(every * number, gamma_of(width)) for number in range(1, count + 1) for width in widths]


def test_the_error_of_a_fit_is_the_distance_of_the_profiles():
    basis, target = Basis(snapshot_profiles(10, 8)), Profile(80, gamma_of(0.15))
    fit = basis.fit(target)
    assert fit.coefficients.sum() == pytest.approx(1, abs=1e-12)

    def difference(tau):
        parts = zip(fit.coefficients, basis.profiles, strict=True)
        return density(target)(tau) - sum(c * density(p)(tau) for c, p in parts if tau <= p.step)

    pieces = [quad(lambda tau: difference(tau) ** 2, 10 * n, 10 * n + 10, epsrel=1e-10)[0] for n in range(8)]
    norm = integral(lambda tau: density(target)(tau) ** 2, 80)
    assert fit.error == pytest.approx(math.sqrt(math.fsum(pieces) / norm), rel=1e-5)


def test_no_other_coefficients_of_sum_one_are_nearer():
    basis, target = Basis(snapshot_profiles(10, 5)), Profile(50, gamma_of(0.2))
    fit, generator = basis.fit(target), np.random.default_rng(1)
    gram, overlaps = products(basis.profiles, basis.profiles), products(basis.profiles, [target])[:, 0]
    distance = lambda x: x @ gram @ x - 2 * x @ overlaps  # noqa: E731
    for _ in range(200):
        move = generator.normal(size=10)
        assert distance(fit.coefficients) < distance(fit.coefficients + 1e-3 * (move - move.mean()))


def test_a_width_that_was_kept_is_taken_as_it_is():
    fit = Basis(snapshot_profiles(100, 10)).fit(Profile(1000, gamma_of(0.05)))
    assert fit.error < 1e-7
    np.testing.assert_allclose(fit.coefficients, np.eye(20)[18], atol=1e-9)


def test_a_reachable_width_fits_and_the_next_does_not():
    basis = Basis(snapshot_profiles(100, 10))
    narrowest, widest = basis.reachable(1000)
    errors = [basis.fit(Profile(1000, gamma_of(w))).error for w in (narrowest, widest, narrowest - 1e-3, widest + 1e-3)]
    assert max(errors[:2]) <= MAX_ERROR < min(errors[2:])


# -- a trajectory of weights ------------------------------------------------------------------------------------------


STEPS, EVERY = 400, 20


@pytest.fixture(scope="module")
def walked(tmp_path_factory):
    """A folder with snapshots of 5 weights that walk at random, and the walk [STEPS, 5] in float64."""
    folder = tmp_path_factory.mktemp("walk")
    walk = torch.randn(STEPS, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64).cumsum(0)
    net = torch.nn.Linear(5, 1, bias=False).double()
    averages = PowerFunctionEMA(SnapshotConfig(sigma_rel=WIDTHS, every=EVERY), net, STEPS)
    for step, values in enumerate(walk, start=1):
        net.weight.data.copy_(values[None])
        averages.update(step)
        for width, parameters in averages.due(step).items():
            snapshots.write(folder, Snapshot(step, width), parameters)
    storage.write_tensors(folder / "backbone.safetensors", {"weight": net.weight})
    return folder, walk.numpy()


def test_snapshots_are_the_weighted_sums_of_the_walk(walked):
    folder, walk = walked
    assert snapshots.snapshots_in(folder) == [Snapshot(s, w) for s in range(EVERY, STEPS + 1, EVERY) for w in WIDTHS]
    for snapshot in snapshots.snapshots_in(folder):
        found = storage.read_tensors(snapshot.path(folder))["weight"].numpy()[0]
        expected = weights(gamma_of(snapshot.width), snapshot.step) @ walk[: snapshot.step]
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("step", [STEPS, STEPS - 3 * EVERY])
@pytest.mark.parametrize("width", [0.03, 0.05, 0.07, 0.1, 0.15, 0.2])
def test_a_reconstructed_width_is_the_average_that_was_never_kept(walked, width, step):
    """With e the difference of the profiles, whose integral is 0, and any constant c, the averages differ by the
    integral of e (weights - c), which is at most the product of their L2 norms (Cauchy-Schwarz)."""
    folder, walk = walked
    [made] = reconstruct(folder, [width], step)
    found = storage.read_tensors(made.folder / "backbone.safetensors")["weight"].numpy()[0]
    profile, past = weights(gamma_of(width), step), walk[:step]
    direct = profile @ past
    norm = math.sqrt(integral(lambda tau: density(Profile(step, gamma_of(width)))(tau) ** 2, step))
    bound = made.error * norm * np.linalg.norm(past - past.mean(0), axis=0) + 1e-6
    assert (abs(found - direct) <= bound).all()
    other = weights(gamma_of(0.8 * width), step) @ past
    assert np.linalg.norm(found - direct) < 0.2 * np.linalg.norm(other - direct)


def test_weights_that_stand_still_come_out_as_they_are(tmp_path):
    for number in range(1, 9):
        for width in WIDTHS:
            snapshots.write(tmp_path, Snapshot(number, width), {"weight": torch.full([3], 0.1)})
    storage.write_tensors(tmp_path / "backbone.safetensors", {"weight": torch.zeros(3), "buffer": torch.arange(2)})
    [made] = reconstruct(tmp_path, [0.15])
    saved = storage.read_tensors(made.folder / "backbone.safetensors")
    torch.testing.assert_close(saved["weight"], torch.full([3], 0.1), rtol=1e-6, atol=0)
    assert saved["buffer"].tolist() == [0, 1]


# -- runs -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def keeping(small):
    small["stage"]["ema_snapshots"] = {"sigma_rel": [0.05, 0.10], "every": 2}
    small["train"].update(steps=11, checkpoint_every=4, log_every=11)
    return small


def contents(run):
    return {snapshot: storage.read_tensors(snapshot.path(run)) for snapshot in snapshots.snapshots_in(run)}


def test_a_run_keeps_the_averages_of_its_student(keeping, tmp_path):
    training = Run(build_pipeline(keeping), tmp_path)
    taken, after_step = [], training.stage.after_step

    def noting(step):
        taken.append(
            {name: p.detach().double().clone() for name, p in training.stage.nets["student"].named_parameters()}
        )
        after_step(step)

    training.stage.after_step = noting
    training.train()
    kept = contents(tmp_path)
    assert list(kept) == [Snapshot(step, width) for step in (2, 4, 6, 8, 10, 11) for width in WIDTHS]
    for snapshot, tensors in kept.items():
        share = weights(gamma_of(snapshot.width), snapshot.step)
        assert tensors.keys() == taken[0].keys()
        for name, tensor in tensors.items():
            expected = sum(w * past[name] for w, past in zip(share, taken, strict=False))
            torch.testing.assert_close(tensor, expected.float(), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_a_resumed_run_has_the_snapshots_of_one_that_never_stopped(keeping, tmp_path, strategy):
    keeping["train"]["strategy"] = strategy
    Run(build_pipeline(keeping), tmp_path / "whole").train()
    Run(build_pipeline(keeping), tmp_path / "parts").train()
    shutil.rmtree(checkpoint.path_of(tmp_path / "parts", 11))  # as if killed after the last snapshot, before step 11
    snapshots.write(tmp_path / "parts", Snapshot(9, 0.05), {"of": torch.ones(1)})  # what another `every` left there
    Run(build_pipeline(keeping), tmp_path / "parts", resume=True).train()
    whole, parts = contents(tmp_path / "whole"), contents(tmp_path / "parts")
    assert whole.keys() == parts.keys()
    assert len(whole) == 12
    for snapshot, tensors in whole.items():
        assert all(torch.equal(tensor, parts[snapshot][name]) for name, tensor in tensors.items())


def test_two_processes_that_share_out_the_weights_keep_what_one_keeps(keeping, tmp_path):
    Run(build_pipeline(keeping), tmp_path / "alone").train()
    keeping["train"].update(strategy="fsdp", trackers=[])
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(keeping))
    words = ["train", str(tmp_path / "config.yaml"), "--output", str(tmp_path / "two")]
    forked.together(forked.command, words, CUDA_VISIBLE_DEVICES="")
    alone, two = contents(tmp_path / "alone"), contents(tmp_path / "two")
    assert alone.keys() == two.keys()
    for snapshot, tensors in alone.items():
        for name, tensor in tensors.items():
            torch.testing.assert_close(two[snapshot][name], tensor, rtol=1e-4, atol=1e-5)


def test_nothing_is_kept_by_default(small, tmp_path):
    training = Run(build_pipeline(small), tmp_path)
    training.train()
    assert set(training.stage.nets) == {"student", "ema"}
    assert not (tmp_path / snapshots.FOLDER).exists()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (
            {"sigma_rel": []},
            "ema_snapshots.*a non-empty list of distinct widths, each above 0 and at most 0.28868, got \\[\\]",
        ),
        ({"sigma_rel": [0.1, 0.1]}, "list of distinct widths"),
        ({"sigma_rel": [0.3]}, "at most 0.28868, got \\[0.3\\]"),
        ({"sigma_rel": ["0.1"]}, "stage.ema_snapshots.*expected a number, got '0.1'"),
        ({"sigma_rel": [float("nan")]}, "must be a finite number, got nan"),
        ({"every": 0}, "stage.ema_snapshots.*every: must be at least 1"),
        ({"evry": 5}, "stage.ema_snapshots.evry: unknown key. Did you mean 'every'?"),
        (5, "stage.ema_snapshots: expected a mapping, got 5"),
    ],
)
def test_a_wrong_setting_is_named(small, wrong, said):
    with pytest.raises(ConfigError, match=said):
        resolve({**small, "stage": {"name": "diffusion", "ema_snapshots": wrong}})


def test_a_resolved_setting_resolves_to_itself(keeping):
    written = resolve(keeping).as_dict()
    assert written["stage"]["ema_snapshots"] == {"sigma_rel": [0.05, 0.10], "every": 2}
    assert resolve(yaml.safe_load(yaml.safe_dump(written))).as_dict() == written


# -- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def kept_run(keeping, tmp_path):
    Run(build_pipeline(keeping), tmp_path / "run").train()
    return tmp_path / "run"


def test_the_command_saves_a_pipeline_for_each_width(kept_run):
    before = Pipeline.load(kept_run)
    said = CliRunner().invoke(command, [str(kept_run), "--sigma-rel", "0.05,0.07"], catch_exceptions=False)
    assert said.exit_code == 0
    assert "sigma_rel 0.070 after step 11, from 12 snapshots" in said.output
    kept = storage.read_tensors(Snapshot(11, 0.05).path(kept_run))
    loaded = Pipeline.load(kept_run / "ema-0.050")
    for name, tensor in loaded.backbone.named_parameters():
        torch.testing.assert_close(tensor.detach(), kept[name], rtol=1e-5, atol=1e-7)
    images = Pipeline.load(kept_run / "ema-0.070").generate(["dog"], tensors=True)
    assert images.shape == (1, 3, 16, 16)
    assert not torch.equal(images, before.generate(["dog"], tensors=True))
    assert [p.name for p in kept_run.glob(".*.tmp")] == []
    assert [made.folder.name for made in reconstruct(kept_run, [0.1], 8)] == ["ema-0.100-step-00000008"]


def test_what_cannot_be_made_is_said_before_anything_is_written(kept_run, tmp_path):
    with pytest.raises(ConfigError, match=r"sigma_rel 0.005 cannot be computed from 12 .*Use a sigma_rel from 0\.0"):
        reconstruct(kept_run, [0.07, 0.005])
    with pytest.raises(ConfigError, match="above 0 and at most 0.28868, got 0.3"):
        reconstruct(kept_run, [0.3])
    with pytest.raises(ConfigError, match="got nan"):
        reconstruct(kept_run, [math.nan])
    with pytest.raises(DataError, match="no snapshot of step 7. It has snapshots of 6 steps. Nearest: 4, 6, 8"):
        reconstruct(kept_run, [0.07], 7)
    with pytest.raises(DataError, match=r"There are no snapshots in .*: train a run with"):
        reconstruct(tmp_path, [0.07])
    assert not list(kept_run.glob("ema-*"))
    assert "is not a list of numbers" in CliRunner().invoke(command, [str(kept_run), "--sigma-rel", "wide"]).output


def test_damaged_and_foreign_snapshots_are_named(kept_run):
    path = Snapshot(4, 0.05).path(kept_run)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match="step-00000004-width-0.05.safetensors is not a valid safetensors file"):
        reconstruct(kept_run, [0.07])
    storage.write_tensors(path, {"other": torch.ones(2)})
    with pytest.raises(DataError, match="does not match the weights .*'other'.*Check that the snapshot is from this"):
        reconstruct(kept_run, [0.07])
    path.unlink()  # a missing one makes the fit worse, and the rest is used
    assert reconstruct(kept_run, [0.07])[0].snapshots == 11


def test_folders_are_named_by_all_digits_that_a_width_has():
    assert [reconstruction.width_text(width) for width in (0.05, 0.1, 0.0625)] == ["0.050", "0.100", "0.0625"]
