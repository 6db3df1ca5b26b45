"""Small random VAEs of the real classes. Expected values come from calls of diffusers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderKLFlux2, AutoencoderKLQwenImage
from torch import Tensor

from nanogen_core.errors import ConfigError, DataError, Incompatible, UnknownName
from nanogen_core.protocols import Tokenizer
from nanogen_core.testing import PluginContract, TokenizerContract
from nanogen_files.structure import structure
from nanogen_vae.config import VAEConfig
from nanogen_vae.families import FAMILIES
from nanogen_vae.normalisation import affine_of
from nanogen_vae.presets import PRESETS
from nanogen_vae.tokenizer import VAE

BLOCKS = {
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
    "block_out_channels": (8, 16),
    "layers_per_block": 1,
    "norm_num_groups": 4,
}
MEAN, DEVIATION = [0.3, -0.2, 0.1, 0.5], [0.5, 2.0, 1.5, 0.7]


def saved(folder: Path, model: Any) -> VAEConfig:
    model.save_pretrained(folder)
    return VAEConfig(path=str(folder))


def kl(**options: Any) -> AutoencoderKL:
    torch.manual_seed(0)
    return AutoencoderKL(**BLOCKS, latent_channels=4, **options).eval()


@pytest.fixture
def images() -> Tensor:
    return torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1


def check(config: VAEConfig, images: Tensor, latents: Tensor, decode: Callable[[Tensor], Tensor], z: Tensor) -> None:
    """`encode` returns `latents` of the declared shape, and `decode` returns the images of `z`."""
    vae = VAE(config)
    assert isinstance(vae, Tokenizer)
    found = vae.encode(images)
    assert tuple(found.shape[1:]) == vae.latent(16).shape
    torch.testing.assert_close(found, latents, rtol=1e-5, atol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(vae.decode(found), decode(z), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_scaling_and_shift_factor_of_the_file(tmp_path: Path, images: Tensor) -> None:
    model = kl(scaling_factor=0.36, shift_factor=0.11)
    z = model.encode(images).latent_dist.mode()
    check(saved(tmp_path, model), images, (z - 0.11) * 0.36, lambda z: model.decode(z).sample, z)


@torch.no_grad()
def test_mean_and_deviation_of_the_file_come_first(tmp_path: Path, images: Tensor) -> None:
    model = kl(scaling_factor=0.36, latents_mean=MEAN, latents_std=DEVIATION)
    z = model.encode(images).latent_dist.mode()
    shape = (1, 4, 1, 1)
    latents = (z - torch.tensor(MEAN).reshape(shape)) / torch.tensor(DEVIATION).reshape(shape)
    path = saved(tmp_path, model).path
    check(VAEConfig(path=path), images, latents, lambda z: model.decode(z).sample, z)
    torch.testing.assert_close(VAE(VAEConfig(preset="sdxl-vae", path=path)).encode(images), latents)


@torch.no_grad()
def test_the_presets_numbers_come_before_the_factors_of_the_file(tmp_path: Path, images: Tensor) -> None:
    model = kl(scaling_factor=0.36, shift_factor=0.11)
    config = VAEConfig(preset="sdvae-ema", path=saved(tmp_path, model).path)
    expected = model.encode(images).latent_dist.mode() * 0.18215
    torch.testing.assert_close(VAE(config).encode(images), expected)


def test_a_mean_without_a_deviation_is_refused(tmp_path: Path, images: Tensor) -> None:
    with pytest.raises(DataError, match="one of latents_mean and latents_std"):
        VAE(saved(tmp_path, kl(latents_mean=MEAN))).encode(images)


@pytest.mark.parametrize("config", [{}, {"scaling_factor": None, "shift_factor": 0.1}])
def test_a_config_without_a_normalisation_says_what_to_add(config: dict[str, float | None]) -> None:
    with pytest.raises(DataError, match="Add scaling_factor"):
        affine_of(config, None)


@torch.no_grad()
def test_flux2_is_patchified_and_normalised_by_its_batch_norm(tmp_path: Path, images: Tensor) -> None:
    torch.manual_seed(0)
    model = AutoencoderKLFlux2(**BLOCKS, latent_channels=4).eval()
    model.bn.running_mean.normal_()
    model.bn.running_var.uniform_(0.5, 2.0)
    z = model.encode(images).latent_dist.mode()  # [2, 4, 8, 8]
    patches = z.reshape(2, 4, 4, 2, 4, 2).permute(0, 1, 3, 5, 2, 4).reshape(2, 16, 4, 4)
    statistics = [value.reshape(1, -1, 1, 1) for value in (model.bn.running_mean, model.bn.running_var)]
    latents = (patches - statistics[0]) / (statistics[1] + 1e-5).sqrt()
    check(saved(tmp_path, model), images, latents, lambda z: model.decode(z).sample, z)


@torch.no_grad()
def test_qwen_encodes_one_frame(tmp_path: Path, images: Tensor) -> None:
    torch.manual_seed(0)
    model = AutoencoderKLQwenImage(
        base_dim=8, z_dim=4, dim_mult=[1, 2], num_res_blocks=1, temperal_downsample=[False],
        latents_mean=MEAN, latents_std=DEVIATION,
    ).eval()  # fmt: skip
    z = model.encode(images[:, :, None]).latent_dist.mode()  # [2, 4, 1, 8, 8]
    shape = (1, 4, 1, 1)
    latents = (z[:, :, 0] - torch.tensor(MEAN).reshape(shape)) / torch.tensor(DEVIATION).reshape(shape)
    check(saved(tmp_path, model), images, latents, lambda z: model.decode(z).sample[:, :, 0], z)


@torch.no_grad()
def test_slicing_changes_nothing(tmp_path: Path, images: Tensor) -> None:
    path = saved(tmp_path, kl()).path
    whole, sliced = VAE(VAEConfig(path=path)), VAE(VAEConfig(path=path, slicing=True))
    batch_sizes: list[int] = []
    sliced._model.encoder.register_forward_pre_hook(lambda _, given: batch_sizes.append(len(given[0])))
    latents = sliced.encode(images)
    assert batch_sizes == [1, 1]
    torch.testing.assert_close(latents, whole.encode(images))
    torch.testing.assert_close(sliced.decode(latents), whole.decode(latents), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_tiles_are_those_of_diffusers(tmp_path: Path) -> None:
    images = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    model = kl(sample_size=16, scaling_factor=1.0)  # the size of diffusers' own tiles
    path = saved(tmp_path, model).path
    model.enable_tiling()
    vae, whole = VAE(VAEConfig(path=path, tile=16)), VAE(VAEConfig(path=path))
    z = model.encode(images).latent_dist.mode()
    torch.testing.assert_close(vae.encode(images), z)
    torch.testing.assert_close(vae.decode(z), model.decode(z).sample)
    assert not torch.allclose(whole.encode(images), z)  # tiles are another computation
    assert vae.encode(images[..., :16, :16]).equal(whole.encode(images[..., :16, :16]))  # one tile is the whole


@torch.no_grad()
def test_tiles_of_a_video_vae_overlap_by_a_quarter(tmp_path: Path) -> None:
    images = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    torch.manual_seed(0)
    options: dict[str, Any] = {"base_dim": 8, "z_dim": 4, "dim_mult": [1, 2, 2, 2], "num_res_blocks": 1}
    model = AutoencoderKLQwenImage(**options, latents_mean=[0.0] * 4, latents_std=[1.0] * 4).eval()
    path = saved(tmp_path, model).path
    vae = VAE(VAEConfig(path=path, tile=32))
    sides: list[int] = []
    vae._model.encoder.conv_in.register_forward_pre_hook(lambda _, given: sides.append(given[0].shape[-1]))
    large = torch.cat([images, images], dim=3).repeat(1, 1, 2, 1)  # [1, 3, 64, 64]
    found = vae.encode(large)
    assert sides[:3] == [32, 32, 16]  # at 0, 24 and 48 of 64 pixels
    model.enable_tiling(32, 32, 24, 24)
    torch.testing.assert_close(found, model.encode(large[:, :, None]).latent_dist.mode()[:, :, 0])


def test_a_tile_whose_quarter_is_no_whole_cell_is_refused(tmp_path: Path) -> None:
    config = VAEConfig(path=saved(tmp_path, kl()).path, tile=20)
    with pytest.raises(Incompatible, match=r"tokenizer\.tile` must be a multiple of 8 .* Set it to 16 or 24"):
        VAE(config).latent(64)
    with pytest.raises(ValueError, match="tile"):
        VAEConfig(tile=0)


def test_the_latent_is_known_without_the_weights(tmp_path: Path) -> None:
    config = saved(tmp_path, kl())
    (tmp_path / "diffusion_pytorch_model.safetensors").unlink()
    assert VAE(config).latent(64).shape == (4, 32, 32)
    with pytest.raises(DataError, match=r"has no readable AutoencoderKL weights \(safetensors\)"):
        VAE(config).encode(torch.zeros(1, 3, 16, 16))


@pytest.mark.parametrize("preset", PRESETS)
def test_the_latent_of_a_preset_is_known_without_any_file(preset: str) -> None:
    latent = VAE(VAEConfig(preset=preset)).latent(256)
    assert latent.factor * latent.height == 256
    assert (latent.patch_size, latent.height) in [(2, 32), (1, 16)]


def test_the_default_is_the_published_sd_vae() -> None:
    assert VAE(VAEConfig()).latent(256).shape == (4, 32, 32)
    assert VAE(VAEConfig()).latent(256).time_shift == 1.0


def test_a_wrong_image_size_suggests_the_nearest() -> None:
    with pytest.raises(Incompatible, match=r"multiple of 8 for the VAE 'sdvae-mse'.*to 96 or 104"):
        VAE(VAEConfig()).latent(100)


def test_a_missing_folder_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(DataError, match=r"'/no/such/vae' is neither a local folder nor .* Set `tokenizer\.path`"):
        VAE(VAEConfig(path="/no/such/vae")).latent(256)
    with pytest.raises(DataError, match="'stabilityai/sd-vae-ft-mse' is not a local folder"):
        VAE(VAEConfig()).encode(torch.zeros(1, 3, 16, 16))


def test_a_whole_pipelines_folder_has_a_hint(tmp_path: Path) -> None:
    saved(tmp_path / "vae", kl())
    with pytest.raises(DataError, match=r"Set `tokenizer\.subfolder` to 'vae'"):
        VAE(VAEConfig(path=str(tmp_path))).latent(16)
    assert VAE(VAEConfig(path=str(tmp_path), subfolder="vae")).encode(torch.zeros(1, 3, 16, 16)).shape == (1, 4, 8, 8)


def test_another_class_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"_class_name": "VQModel"}))
    with pytest.raises(Incompatible, match=r"class 'VQModel'.*AutoencoderKL, AutoencoderKLFlux2"):
        VAE(VAEConfig(path=str(tmp_path))).latent(16)


def test_an_unknown_preset_has_a_near_miss() -> None:
    with pytest.raises(UnknownName, match=r"no VAE preset 'sdvae-mes'\. Did you mean 'sdvae-mse'\?"):
        VAEConfig(preset="sdvae-mes")
    with pytest.raises(ConfigError, match=r"tokenizer.preset: There is no VAE preset 'flx'\. Did you mean 'flux'\?"):
        structure({"preset": "flx"}, VAEConfig, "tokenizer")


def test_half_precision_inside_and_float32_outside(tmp_path: Path, images: Tensor) -> None:
    path = saved(tmp_path, kl()).path
    half, full = (VAE(VAEConfig(path=path, dtype=dtype)) for dtype in ("bfloat16", "float32"))
    assert half.encode(images).dtype == half.decode(half.encode(images)).dtype == torch.float32
    torch.testing.assert_close(half.encode(images), full.encode(images), rtol=0.1, atol=0.05)


def test_gradients_flow_through_decode_to_the_latents_alone(tmp_path: Path) -> None:
    vae = VAE(saved(tmp_path, kl()))
    latents = torch.zeros(1, 4, 8, 8, requires_grad=True)
    vae.decode(latents).sum().backward()
    assert latents.grad is not None
    assert not vae.encode(torch.zeros(1, 3, 16, 16)).requires_grad


def test_every_family_is_a_class_of_diffusers() -> None:
    assert all(hasattr(diffusers, name) for name in FAMILIES)


@pytest.fixture
def manifest() -> str:
    return "nanogen_vae.plugin"


@pytest.fixture
def tokenizer(tmp_path: Path) -> VAE:
    return VAE(saved(tmp_path, kl()))


class TestPlugin(PluginContract):
    pass


class TestVAE(TokenizerContract):
    pass
