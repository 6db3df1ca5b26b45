"""The FID network against what torch-fidelity 0.4.0 recorded with the same weights, and the files that it loads."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from nanogen_core.errors import DataError
from nanogen_eval.pixels import from_uint8
from nanogen_fidelity.config import InceptionConfig
from nanogen_fidelity.extractor import shared
from nanogen_fidelity.inception import FILES, Inception, fill
from nanogen_fidelity.inception_network import InceptionNetwork
from nanogen_fidelity.resizing import tf1_bilinear
from nanogen_files import storage

HERE = Path(__file__).parent
SPEC = importlib.util.spec_from_file_location("inception_formula", HERE / "inception_formula.py")
formula = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(formula)


@pytest.fixture(scope="module")
def weights():
    return formula.weights({name: value.shape for name, value in InceptionNetwork().state_dict().items()})


@pytest.fixture(scope="module")
def published(weights, tmp_path_factory):
    """The weights as a .pth file, as torch-fidelity publishes its own."""
    file = tmp_path_factory.mktemp("weights") / FILES[0]
    torch.save(weights, file)
    return file


@pytest.fixture(scope="module")
def network(weights):
    network = InceptionNetwork()
    fill(network, weights, Path("weights"))
    return network


def test_it_sees_what_torch_fidelity_sees(network):
    recorded = np.load(HERE / "fixtures" / "inception.npz")
    for row, side in enumerate(formula.SIDES):
        seen = network(formula.image(*side))
        for name in ("pool", "logits"):
            expected = torch.from_numpy(recorded[name][row])
            torch.testing.assert_close(getattr(seen, name)[0], expected, rtol=1e-5, atol=2e-5)
            assert expected.std() > 1


def test_the_resizing_looks_at_d_times_in_over_out():
    image = torch.arange(12.0).reshape(1, 1, 3, 4) ** 2
    resized = tf1_bilinear(image, (7, 2))
    for d, e in np.ndindex(7, 2):
        y, x = d * 3 / 7, e * 4 / 2
        top, left = int(y), int(x)
        bottom, right = min(top + 1, 2), min(left + 1, 3)
        upper = image[0, 0, top, left] * (1 - x + left) + image[0, 0, top, right] * (x - left)
        lower = image[0, 0, bottom, left] * (1 - x + left) + image[0, 0, bottom, right] * (x - left)
        assert resized[0, 0, d, e].item() == pytest.approx(float(upper * (1 - y + top) + lower * (y - top)), abs=1e-4)


def test_the_component_gives_features_and_logits_of_float_images(published, network):
    space = Inception(InceptionConfig(weights=str(published)))
    pixels = torch.cat([formula.image(32, 32), formula.image(32, 32).flip(-1), formula.image(32, 32).flip(-2)])
    images = from_uint8(pixels)
    expected = network(pixels)
    assert space(images).shape == (3, 2048)
    torch.testing.assert_close(space(images), expected.pool, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(space.extract(images)[1], expected.logits, rtol=1e-4, atol=1e-4)
    assert space.extract(images) is space.extract(images)
    torch.testing.assert_close(space(images[1:2]), space(images)[1:2], rtol=1e-4, atol=1e-4)


def test_the_hash_in_the_settings_is_that_of_the_file(published):
    from hashlib import sha256

    settings = Inception(InceptionConfig(weights=str(published))).settings
    assert settings["weights"] == sha256(published.read_bytes()).hexdigest()


def test_weights_are_found_in_the_folder_of_torch_hub(published, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(published.parent / "hub"))
    with pytest.raises(DataError, match=r"FID network.*weights-inception-2015-12-05-6726825d\.pth.*hub"):
        Inception(InceptionConfig()).settings  # noqa: B018
    place = published.parent / "hub" / "checkpoints"
    place.mkdir(parents=True)
    (place / FILES[1]).symlink_to(published)
    assert Inception(InceptionConfig()).file == place / FILES[1]


def test_safetensors_and_files_without_counters_load_too(weights, tmp_path):
    kept = {name: value for name, value in weights.items() if not name.endswith("num_batches_tracked")}
    storage.write_tensors(tmp_path / "weights.safetensors", kept)
    network = Inception(InceptionConfig(weights=str(tmp_path / "weights.safetensors"))).network
    assert torch.equal(network.fc.weight, weights["fc.weight"])


def broken(weights, how):
    if how == "of another network":
        return {"fc.weight": weights["fc.weight"]}
    if how == "not finite":
        return {**weights, "fc.bias": torch.full((1008,), torch.nan)}
    return {**weights, "fc.weight": torch.zeros(1000, 2048)}


@pytest.mark.parametrize("how", ["of another network", "not finite", "with 1000 classes"])
def test_other_weights_are_refused(weights, how, tmp_path):
    torch.save(broken(weights, how), tmp_path / "w.pth")
    with pytest.raises(DataError, match=r"w\.pth"):
        Inception(InceptionConfig(weights=str(tmp_path / "w.pth"))).network  # noqa: B018


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04cut"])
@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_damaged_files_are_one_sentence(content, name, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=name):
        Inception(InceptionConfig(weights=str(tmp_path / name))).network  # noqa: B018


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.pth"):
        Inception(InceptionConfig(weights=str(tmp_path / "nowhere.pth"))).settings  # noqa: B018


def test_metrics_that_name_the_same_space_share_it(published):
    named = {"name": "inception", "weights": str(published)}
    first = shared(named)
    assert shared(dict(reversed(named.items()))) is first
    assert shared("inception") is not first
