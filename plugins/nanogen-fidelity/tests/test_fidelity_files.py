"""Spaces and metrics say what they read: weights, references, the originals of pairs."""

import pytest
from PIL import Image

from nanogen_core.errors import ConfigError
from nanogen_core.named_components import build_named
from nanogen_data.testing import FilesContract
from nanogen_fidelity.config import InceptionConfig, LpipsConfig, PairedConfig, VisionConfig
from nanogen_fidelity.inception import Inception
from nanogen_fidelity.metrics.paired import Lpips, Ssim
from nanogen_fidelity.vision import Clip


class OneFile(FilesContract):
    @pytest.fixture
    def folder(self, tmp_path):
        (tmp_path / "weights").mkdir()
        (tmp_path / "weights" / "w.pth").write_bytes(b"weights")
        return tmp_path / "weights"


class TestInception(OneFile):
    @pytest.fixture
    def build(self):
        return lambda folder: Inception(InceptionConfig(weights=str(folder / "w.pth")))


class TestVision(OneFile):
    @pytest.fixture
    def build(self):
        return lambda folder: Clip(VisionConfig(weights=str(folder / "w.pth")))


class TestLpips(FilesContract):
    @pytest.fixture
    def folder(self, tmp_path):
        (tmp_path / "lpips").mkdir()
        for name in ("vgg16-397923af.pth", "vgg.pth"):
            (tmp_path / "lpips" / name).write_bytes(name.encode())
        return tmp_path / "lpips"

    @pytest.fixture
    def build(self):
        return lambda folder: Lpips(LpipsConfig(folder=str(folder)))


class TestReference(FilesContract):
    @pytest.fixture
    def folder(self, tmp_path):
        (tmp_path / "real").mkdir()
        for number in range(2):
            Image.new("RGB", (16, 16), (number, 0, 0)).save(tmp_path / "real" / f"{number}.png")
        return tmp_path / "real"

    @pytest.fixture
    def build(self):
        return lambda folder: Ssim(PairedConfig(reference=str(folder)))


def test_a_space_is_shared_until_its_file_changes(tmp_path):
    from nanogen_fidelity.extractor import shared

    file = tmp_path / "w.pth"
    file.write_bytes(b"1")
    named = {"name": "inception", "weights": str(file)}
    first = shared(named)
    assert shared(dict(named)) is first
    before = first.settings
    file.write_bytes(b"2")
    second = shared(named)
    assert second is not first
    assert second.settings != before == first.settings


@pytest.mark.parametrize("name", ["fid", "frechet", "rfid", "kid", "prdc", "inception-score"])
def test_errors_of_the_feature_space_name_the_option_of_the_metric(name, tmp_path):
    options = {} if name == "inception-score" else {"reference": str(tmp_path / "x.npz")}
    with pytest.raises(ConfigError, match=f"^metric.{name}.features.weigts: unknown key"):
        build_named("metric", {"name": name, "features": {"name": "inception", "weigts": "x"}, **options})
