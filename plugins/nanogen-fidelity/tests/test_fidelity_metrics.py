"""Every metric keeps its contract, and its score is that of the features taken by themselves."""

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from nanogen_core.errors import ConfigError, DataError, NanoGenError
from nanogen_core.named_components import build_named
from nanogen_core.tensors import Batch
from nanogen_eval.cli.evaluate import evaluate
from nanogen_eval.protocols import Resampled
from nanogen_eval.sources.folder import Folder
from nanogen_eval.testing import MetricContract
from nanogen_fidelity.distances.frechet import frechet_distance, moments
from nanogen_fidelity.distances.inception_score import adm_inception_score, diffusionbench_inception_score
from nanogen_fidelity.distances.kid import kid
from nanogen_fidelity.distances.mind import mind
from nanogen_fidelity.distances.psnr_ssim import psnr, unit_range
from nanogen_fidelity.reference import Reference
from nanogen_fidelity.spaces import NORMS, STATISTICS, relative
from nanogen_fidelity.statistics import all_of, compute_statistics
from nanogen_files.images import to_uint8

pytestmark = pytest.mark.filterwarnings("ignore:.*examples are few")


def metric(name, **options):
    return build_named("metric", {"name": name, **options})


def seen(metric, images, extras=None):
    metric.update(images, Batch(torch.arange(len(images)), images=images, extras=extras or {}))
    return metric


# -- contracts ---------------------------------------------------------------------------------------------------------


class TestFrechetOfMoments(MetricContract):
    @pytest.fixture
    def build(self, folder):
        real = str(folder[0])
        return lambda: metric("frechet", features="openmoji-classifier", reference=real, keep_rows=False)


class TestFrechetWithRows(MetricContract):
    @pytest.fixture
    def build(self, archive):
        return lambda: metric("frechet", features="openmoji-classifier", reference=str(archive[0]))


class TestInceptionScore(MetricContract):
    @pytest.fixture
    def build(self, tiny):
        return lambda: metric("inception-score", splits=2)


class TestKid(MetricContract):
    @pytest.fixture
    def build(self, tiny, folder):
        return lambda: metric("kid", reference=str(folder[0]))


class TestPrdc(MetricContract):
    @pytest.fixture
    def build(self, tiny, folder):
        return lambda: metric("prdc", reference=str(folder[0]), density_k=2)


class TestFdr6(MetricContract):
    @pytest.fixture
    def build(self, tiny, statistics):
        return lambda: metric("fdr6", reference=str(statistics))


class TestMind6(MetricContract):
    @pytest.fixture
    def build(self, tiny, folder):
        return lambda: metric("mind6", reference=str(folder[0]), spaces=["inception", "mae_cls"])


class TestPsnr(MetricContract):
    @pytest.fixture
    def build(self, folder):
        return lambda: metric("psnr", reference=str(folder[0]))


class TestSsim(MetricContract):
    @pytest.fixture
    def build(self, archive):
        return lambda: metric("ssim", reference=str(archive[0]))


class TestLpips(MetricContract):
    tolerance = 1e-5

    @pytest.fixture
    def build(self, folder, perceptual):
        return lambda: metric("lpips", reference=str(folder[0]), folder=str(perceptual))


@pytest.fixture
def statistics(tmp_path, pictures, tiny):
    """A folder with the six published files, here all of the tiny space."""
    found = moments(tiny(pictures(40, seed=2)))
    for number, (space, file) in enumerate(STATISTICS.items()):
        style = {"mu": found.mean, "sigma": found.covariance}
        named = style if number % 2 else {f"ref_{name}": value for name, value in style.items()}
        assert space in NORMS
        np.savez(tmp_path / file, **named)
    return tmp_path


@pytest.fixture(scope="session")
def perceptual(tmp_path_factory):
    """Weights of LPIPS in their two published files, made up."""
    from nanogen_align.vgg import STAGES, PerceptualDistance

    folder = tmp_path_factory.mktemp("lpips")
    generator = torch.Generator().manual_seed(0)
    network = PerceptualDistance()
    layers = {f"features.{name}": torch.randn(x.shape, generator=generator) / 10 for name, x in _layers(network)}
    heads = {f"lin{n}.model.1.weight": torch.rand(1, w[-1], 1, 1, generator=generator) for n, w in enumerate(STAGES)}
    torch.save(layers, folder / "vgg16-397923af.pth")
    torch.save(heads, folder / "vgg.pth")
    return folder


def _layers(network):
    return network.features.state_dict().items()


# -- scores ------------------------------------------------------------------------------------------------------------


def test_fid_is_the_distance_of_the_features_in_either_way(tiny, folder, pictures):
    made = pictures(30, seed=3)
    expected = frechet_distance(moments(tiny(made)), moments(tiny(folder[1])))
    for name in ("fid", "rfid"):
        for keep in (False, True):
            scores = seen(metric(name, reference=str(folder[0]), keep_rows=keep), made).compute()
            assert scores == {name: pytest.approx(expected, rel=1e-9)}
    assert not metric("fid", reference=str(folder[0])).higher_is_better


def test_only_rows_give_an_interval(tiny, folder):
    assert isinstance(metric("fid", reference=str(folder[0]), keep_rows=True), Resampled)
    assert not isinstance(metric("fid", reference=str(folder[0])), Resampled)


def test_the_extrapolated_distance_comes_on_request(tiny, folder, pictures):
    extrapolating = metric("fid", reference=str(folder[0]), keep_rows=True, extrapolate=True)
    assert set(seen(extrapolating, pictures(30, seed=3)).compute()) == {"fid", "fid_inf"}
    with pytest.raises(ConfigError, match="keep_rows"):
        metric("fid", reference=str(folder[0]), extrapolate=True)


def test_few_images_are_noted_at_the_metric(tiny, folder, pictures):
    few = seen(metric("fid", reference=str(folder[0])), pictures(8, seed=3))
    with pytest.warns(UserWarning, match="8 examples are few for 5 features"):
        few.compute()
    assert [note.split()[0] for note in few.notes] == ["8", "12"]


@pytest.mark.parametrize(
    ("options", "advice"),
    [
        ({}, "Evaluate more images, or set `keep_rows` and `extrapolate`."),
        ({"keep_rows": True}, "Evaluate more images, or set `extrapolate`."),
        ({"keep_rows": True, "extrapolate": True}, "Evaluate more images."),
    ],
)
def test_the_note_about_few_images_advises_what_the_metric_can_do(tiny, folder, pictures, options, advice):
    scored = seen(metric("fid", reference=str(folder[0]), **options), pictures(22, seed=3))
    scored.compute()
    ours, theirs = scored.notes
    assert ours.startswith("22 examples are few")
    assert ours.endswith(f"equally many examples. {advice}")
    assert theirs.startswith("12 examples of the reference are few")
    assert theirs.endswith("equally many examples. Use a reference of more images.")


def test_the_command_prints_a_small_sample_note_once(tiny, folder, recwarn):
    words = [str(folder[0]), "--metrics", "frechet", "--set", f"metric.frechet.reference={folder[0]}"]
    ran = CliRunner().invoke(evaluate, [*words, "--set", "metric.frechet.features=inception", "--intervals", "20"])
    assert ran.exit_code == 0, ran.output
    assert ran.output.count("12 examples are few for 5 features") == 1
    assert not [one for one in recwarn if "examples are few" in str(one.message)]
    assert "interval of frechet (--intervals 0 leaves it out): 32 of 32" in ran.output  # 20 draws, 12 left out


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("kid", "reference", "An `.npz` with features or images, or a folder of images."),
        ("frechet", "features", "The feature space: a component of the kind `features`."),
    ],
)
def test_a_missing_option_says_how_to_set_it(folder, name, option, value):
    ran = CliRunner().invoke(evaluate, [str(folder[0]), "--metrics", name])
    path = f"metric.{name}.{option}"
    advice = f"{path} is missing. Set it, for example with --set {path}=VALUE. Its value: {value}"
    assert advice in str(ran.exception).splitlines()


def test_the_inception_score_has_three_variants(tiny, pictures):
    logits = tiny.extract(pictures(30, seed=3))[1]
    expected = {
        "diffusionbench": diffusionbench_inception_score(logits, splits=3),
        "adm": adm_inception_score(logits, split_size=3),
    }
    for variant, score in expected.items():
        found = seen(metric("inception-score", variant=variant, splits=3), pictures(30, seed=3)).compute()
        assert found == {"inception_score": pytest.approx(score, rel=1e-6)}
    assert expected["adm"] != expected["diffusionbench"]
    with pytest.raises(ConfigError, match="variant"):
        metric("inception-score", variant="other")


def test_a_space_without_logits_has_no_inception_score():
    with pytest.raises(ConfigError, match="openmoji-classifier"):
        metric("inception-score", features="openmoji-classifier")


def test_kid_takes_all_pairs_or_the_published_subsets(tiny, folder, pictures):
    made = pictures(20, seed=3)
    whole = seen(metric("kid", reference=str(folder[0])), made).compute()
    assert whole == {"kid": pytest.approx(kid(tiny(made), tiny(folder[1])), rel=1e-6)}
    subsets = metric("kid", reference=str(folder[0]), subset_size=10, subsets=5)
    assert seen(subsets, made).compute()["kid"] != whole["kid"]
    assert subsets.settings["subset_size"] == 10
    with pytest.raises(DataError, match="Subsets of 13"):
        seen(metric("kid", reference=str(folder[0]), subset_size=13), made).compute()


def test_fdr6_is_over_the_distance_of_real_images(tiny, statistics, pictures):
    made = pictures(30, seed=3)
    distance = frechet_distance(moments(tiny(made)), moments(tiny(pictures(40, seed=2))))
    scores = seen(metric("fdr6", reference=str(statistics)), made).compute()
    shares = {f"fdr_{space}": distance / norm for space, norm in NORMS.items()}
    assert scores == pytest.approx({**shares, "fdr6": np.mean(list(shares.values()))}, rel=1e-6)
    some = seen(metric("fdr6", reference=str(statistics), spaces=["inception", "clip_cls"]), made).compute()
    assert set(some) == {"fdr_inception", "fdr_clip_cls"}


def test_fdr6_is_absent_unless_all_six_are_finite():
    whole = dict.fromkeys(NORMS, 1.0)
    assert "fdr6" in relative(whole)
    assert "fdr6" not in relative({**whole, "mae_cls": float("nan")})
    assert "fdr6" not in relative({**whole, "mae_cls": float("inf")})


def test_an_unknown_space_or_a_missing_file_is_named(tiny, statistics):
    with pytest.raises(ConfigError, match="dinov3"):
        metric("fdr6", reference=str(statistics), spaces=["dinov3"])
    with pytest.raises(ConfigError, match="dinov3"):
        metric("fdr6", reference=str(statistics), weights={"dinov3": "file"})
    (statistics / STATISTICS["mae_cls"]).unlink()
    with pytest.raises(DataError, match="vit_large_patch16_224_mae_in256_t224_stats.npz"):
        metric("fdr6", reference=str(statistics))


def test_mind6_has_a_score_for_each_space_and_no_mean(tiny, folder, pictures):
    made = pictures(12, seed=3)
    scores = seen(metric("mind6", reference=str(folder[0])), made).compute()
    assert scores == dict.fromkeys((f"mind_{space}" for space in NORMS), mind(tiny(made), tiny(folder[1])))


def test_mind6_reads_the_kept_features_of_each_space(tiny, folder, pictures, tmp_path):
    spaces, files = ["inception", "mae_cls"], tmp_path / "features"
    for space in spaces:
        with pytest.raises(DataError, match=r"no .*\.npz|does not exist"):
            metric("mind6", reference=str(files), spaces=spaces)
        compute_statistics(all_of(Folder(folder[0])), tiny, files / f"{space}.npz", keep_features=True)
    made = pictures(12, seed=3)
    kept = seen(metric("mind6", reference=str(files), spaces=spaces), made)
    computed = seen(metric("mind6", reference=str(folder[0]), spaces=spaces), made)
    assert kept.compute() == pytest.approx(computed.compute())
    assert set(kept.settings["reference"]) == set(spaces)
    assert isinstance(computed.settings["reference"], str)
    with pytest.raises(DataError, match="has the features of one space, but `spaces` names 2"):
        metric("mind6", reference=str(files / "mae_cls.npz"), spaces=spaces)
    one = seen(metric("mind6", reference=str(files / "mae_cls.npz"), spaces=["mae_cls"]), made)
    assert one.compute()["mind_mae_cls"] == kept.compute()["mind_mae_cls"]


def test_pairs_are_compared_with_the_original_of_their_index(folder, pictures):
    made, originals = pictures(12, seed=3), folder[1]
    expected = psnr(unit_range(to_uint8(made)), unit_range(to_uint8(originals)))
    scored = metric("psnr", reference=str(folder[0]))
    for rows in (torch.tensor([3, 1]), torch.tensor([7])):
        scored.update(made[rows], Batch(rows, images=made[rows]))
    assert scored.compute()["psnr"] == pytest.approx(float(expected[[1, 3, 7]].mean()))
    brought = seen(metric("psnr"), made, {"original": originals})
    assert brought.compute()["psnr"] == pytest.approx(float(expected.mean()))
    assert seen(metric("ssim", reference=str(folder[0])), originals).compute() == {"ssim": pytest.approx(1)}


def test_the_dark_quirk_is_there_under_its_name():
    black, one = torch.full((1, 3, 8, 8), -1.0), torch.full((1, 3, 8, 8), 1 / 127.5 - 1)
    plain = seen(metric("psnr"), black, {"original": one}).compute()["psnr"]
    quirky = seen(metric("psnr", dark_quirk=True), black, {"original": one}).compute()["psnr"]
    assert (plain, quirky) == (pytest.approx(20 * np.log10(255)), pytest.approx(0))


def test_pairs_without_a_partner_are_one_sentence(folder, pictures):
    with pytest.raises(DataError, match="image with index 12 has no original"):
        seen(metric("psnr", reference=str(folder[0])), pictures(13, seed=3))
    with pytest.raises(DataError, match="psnr needs the original images"):
        seen(metric("psnr"), pictures(2, seed=3))
    with pytest.raises(DataError, match="Use images of one size"):
        seen(metric("ssim", reference=str(folder[0])), pictures(2, seed=3, side=20))


def test_lpips_without_weights_says_which_file_goes_where(folder, tmp_path):
    with pytest.raises(DataError, match="vgg16-397923af.pth"):
        metric("lpips", reference=str(folder[0]), folder=str(tmp_path)).settings  # noqa: B018


def test_equal_images_have_no_perceptual_distance(folder, perceptual):
    scored = metric("lpips", reference=str(folder[0]), folder=str(perceptual))
    assert seen(scored, folder[1][:3]).compute() == {"lpips": pytest.approx(0, abs=1e-6)}
    assert len(scored.settings["weights"]) == 2


def test_nothing_seen_is_no_score(tiny, folder):
    for name in ("fid", "kid", "prdc"):
        assert metric(name, reference=str(folder[0])).compute() == {}


@pytest.mark.parametrize("options", [{}, {"reference": 3}, {"reference": "x", "keep_row": True}])
def test_wrong_options_are_named(options):
    with pytest.raises(ConfigError, match="reference|keep_row"):
        metric("fid", **options)


def test_a_reference_that_is_not_there_is_an_error_at_once():
    with pytest.raises(DataError, match="nowhere"):
        metric("frechet", features="openmoji-classifier", reference="nowhere.npz")


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_features_and_references_that_are_not_finite_are_refused(tiny, tmp_path, pictures, number, monkeypatch):
    forward_features = type(tiny).forward_features
    mean = np.zeros(5)
    mean[2] = number
    np.savez(tmp_path / "moments.npz", mu=mean, sigma=np.eye(5))
    np.savez(tmp_path / "features.npz", features=np.full((4, 5), number, np.float32))
    for name in ("moments", "features"):
        with pytest.raises(DataError, match=rf"{name}\.npz: .* contains NaN or infinite values"):
            Reference(str(tmp_path / f"{name}.npz")).moments(tiny)
    added = lambda *arguments: [part + number for part in forward_features(*arguments)]  # noqa: E731
    monkeypatch.setattr(type(tiny), "forward_features", added)
    with pytest.raises(NanoGenError, match="TinySpace computed features that are not finite"):
        tiny(pictures(2, seed=5))
