"""The five spaces of timm: what they make of images, and the weights that they take. Most need timm and torchvision."""

import importlib

import pytest
import torch
from attrs import evolve
from torch import nn

from nanogen_core.errors import DataError, NanoGenError
from nanogen_eval.pixels import from_uint8
from nanogen_fidelity import vision
from nanogen_fidelity.config import VisionConfig
from nanogen_fidelity.plugin import SPACES
from nanogen_fidelity.spaces import NORMS, STATISTICS

FIVE = {"convnext": vision.ConvNeXt, "dinov2_cls": vision.DinoV2, "mae_cls": vision.Mae}
FIVE |= {"siglip_cls": vision.SigLip, "clip_cls": vision.Clip}


@pytest.fixture(scope="module")
def timm():
    try:
        return importlib.import_module("timm")
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"timm cannot be imported here: {error}")


@pytest.fixture
def pixels():
    return torch.randint(0, 256, (2, 3, 40, 40), generator=torch.Generator().manual_seed(0)).to(torch.uint8)


def small(kind, model, **changes):
    """A space of a small model, otherwise as it is."""
    return type("Small", (kind,), {"space": evolve(kind.space, model=model, **changes)})


def saved(model, folder, timm, **options):
    """Random weights of a model as a file, with the head for classes that published files have."""
    torch.manual_seed(0)
    network = timm.create_model(model, num_classes=10, **options)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.05)
    torch.save(network.state_dict(), folder / "w.pth")
    return str(folder / "w.pth"), network.eval()


def prepared(pixels, size, space):
    """Bytes as torchvision resizes and normalises them."""
    functional = pytest.importorskip("torchvision.transforms.v2.functional")
    resized = functional.resize(pixels.float(), [size, size], interpolation=3, antialias=True)
    mean, deviation = space.normal
    return functional.normalize(resized, [255 * m for m in mean], [255 * d for d in deviation])


def test_every_space_of_the_table_is_a_component():
    assert set(NORMS) == set(STATISTICS) == {"inception", *FIVE}
    assert set(SPACES) == {space.replace("_", "-") for space in NORMS}


@pytest.mark.parametrize("name", FIVE)
def test_the_files_of_statistics_are_named_after_model_and_size(name):
    space = FIVE[name].space
    model = "convnext" if name == "convnext" else space.model.replace(".", "_")
    assert STATISTICS[name] == f"{model}_in256_t{space.size}_stats.npz"


def test_values_are_resized_with_antialiasing_and_normalised(pixels):
    for kind in FIVE.values():
        ours = vision.normalised(vision.resized(pixels, 32), kind.space)
        torch.testing.assert_close(ours, prepared(pixels, 32, kind.space), rtol=1e-5, atol=1e-5)


def test_class_tokens_are_those_of_the_model_on_padded_patches(timm, tmp_path, pixels):
    """60 pixels and patches of 16: padded to 64, hence 16 patches, with zeros behind the normalisation."""
    kind = small(vision.DinoV2, "vit_tiny_patch16_224", size=60, width=192)
    file, network = saved(kind.space.model, tmp_path, timm, dynamic_img_size=True)
    x = nn.functional.pad(prepared(pixels, 60, kind.space), (0, 4, 0, 4))
    with torch.no_grad():
        expected = network.forward_features(x)[:, 0]
    found = kind(VisionConfig(weights=file))(from_uint8(pixels))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert expected.std() > 0.05


def test_siglip_pools_by_attention(timm, tmp_path, pixels):
    kind = small(vision.SigLip, "vit_base_patch32_siglip_256.v2_webli", size=64, width=768)
    file, network = saved(kind.space.model, tmp_path, timm, dynamic_img_size=True)
    network.reset_classifier(0)
    with torch.no_grad():
        expected = network(prepared(pixels, 64, kind.space))
    found = kind(VisionConfig(weights=file))(from_uint8(pixels))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_convnext_averages_its_last_map_without_the_heads_norm(timm, tmp_path, pixels):
    kind = small(vision.ConvNeXt, "convnextv2_atto", size=64, width=320)
    file, network = saved(kind.space.model, tmp_path, timm)
    with torch.no_grad():
        maps = network.stages(network.stem(prepared(pixels, 64, kind.space)))
    found = kind(VisionConfig(weights=file))(from_uint8(pixels))
    torch.testing.assert_close(found, maps.mean(dim=(2, 3)), rtol=1e-4, atol=1e-4)


def test_the_settings_name_model_and_weights(timm, tmp_path):
    kind = small(vision.Mae, "vit_tiny_patch16_224", size=32, width=192)
    settings = kind(VisionConfig(weights=saved(kind.space.model, tmp_path, timm)[0])).settings
    assert settings["network"] == "vit_tiny_patch16_224"
    assert len(settings["weights"]) == 64


def test_weights_of_another_model_are_refused(timm, tmp_path):
    file, _ = saved("vit_small_patch16_224", tmp_path, timm)
    for model in ("vit_tiny_patch16_224", "vit_base_patch32_siglip_256.v2_webli"):
        with pytest.raises(DataError, match=r"w\.pth"):
            small(vision.Mae, model)(VisionConfig(weights=file)).network  # noqa: B018
    part = {name: x for name, x in torch.load(file).items() if not name.startswith("blocks.3")}
    torch.save(part, file)
    with pytest.raises(DataError, match=r"blocks\.3"):
        small(vision.Mae, "vit_small_patch16_224")(VisionConfig(weights=file)).network  # noqa: B018
    (tmp_path / "w.pth").write_bytes(b"damaged")
    with pytest.raises(DataError, match=r"w\.pth"):
        small(vision.Mae, "vit_small_patch16_224")(VisionConfig(weights=file)).network  # noqa: B018


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.safetensors"):
        vision.Clip(VisionConfig(weights=str(tmp_path / "nowhere.safetensors"))).settings  # noqa: B018


def test_without_timm_the_sentence_says_what_to_install(monkeypatch):
    def absent(name):
        raise ImportError("No module named 'timm'")

    monkeypatch.setattr(vision, "import_module", absent)
    with pytest.raises(NanoGenError, match=r"pip install nanogen-fidelity\[timm\]"):
        vision.Clip(VisionConfig()).network  # noqa: B018
