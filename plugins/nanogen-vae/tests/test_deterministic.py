"""Autoencoders without a posterior: latents and images equal those of diffusers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderDC, AutoencoderTiny

from nanogen_core.errors import DataError, Incompatible
from nanogen_vae.config import VAEConfig
from nanogen_vae.tokenizer import VAE


def tiny() -> AutoencoderTiny:
    torch.manual_seed(0)
    widths: dict[str, Any] = {"encoder_block_out_channels": (8, 8, 8), "decoder_block_out_channels": (8, 8, 8)}
    blocks: dict[str, Any] = {"num_encoder_blocks": (1, 1, 1), "num_decoder_blocks": (1, 1, 1)}
    return AutoencoderTiny(**widths, **blocks, latent_channels=4, scaling_factor=0.5).eval()


def dc() -> AutoencoderDC:
    torch.manual_seed(0)
    options: dict[str, Any] = {}
    for side in ("encoder", "decoder"):
        options[f"{side}_block_types"] = ("ResBlock", "ResBlock")
        options[f"{side}_block_out_channels"] = (8, 8)
        options[f"{side}_layers_per_block"] = (1, 1)
        options[f"{side}_qkv_multiscales"] = ((), ())
    return AutoencoderDC(**options, latent_channels=4, attention_head_dim=4, scaling_factor=0.25).eval()


@pytest.mark.parametrize(("build", "scale", "factor"), [(tiny, 0.5, 4), (dc, 0.25, 2)])
def test_latents_and_images_are_those_of_diffusers(build: Any, scale: float, factor: int, tmp_path: Path) -> None:
    model = build()
    model.save_pretrained(tmp_path / "vae")
    tokenizer = VAE(VAEConfig(path=str(tmp_path), subfolder="vae"))
    images = torch.rand(2, 3, 16, 16) * 2 - 1
    with torch.no_grad():
        z = model.encode(images, return_dict=False)[0]
        decoded = model.decode(z, return_dict=False)[0]
    spec = tokenizer.latent(16)
    assert (spec.factor, (2, *spec.shape)) == (factor, tuple(z.shape))
    assert torch.equal(tokenizer.encode(images), z * scale)
    assert torch.equal(tokenizer.decode(z * scale), decoded)


def test_tiles_are_refused(tmp_path: Path) -> None:
    tiny().save_pretrained(tmp_path)
    with pytest.raises(Incompatible, match=r"`tokenizer.tile` is not supported for AutoencoderTiny"):
        VAE(VAEConfig(path=str(tmp_path), tile=16)).encode(torch.zeros(1, 3, 32, 32))


def test_a_subfolder_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"There is no folder .*/nope: check"):
        VAE(VAEConfig(path=str(tmp_path), subfolder="nope")).latent(16)
