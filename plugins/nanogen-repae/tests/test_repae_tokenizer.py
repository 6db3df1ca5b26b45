"""The batch normalisation against torch's, the tokenizer's contract, the autoencoders."""

from __future__ import annotations

from pathlib import Path

import diffusers
import pytest
import torch
from torch import Tensor, nn

from nanogen_core.errors import ConfigError, DataError, Incompatible, UnknownName
from nanogen_core.randomness import KeyedRNG
from nanogen_core.testing import TokenizerContract
from nanogen_files import storage
from nanogen_files.structure import structure
from nanogen_openmoji.tokenizer import OpenMojiVAE
from nanogen_repae.autoencoder import KLAutoencoder, Posterior
from nanogen_repae.config import BatchNormVAEConfig, KLConfig
from nanogen_repae.norm import LatentNorm
from nanogen_repae.tokenizer import BatchNormVAE


def latents(step: int = 0) -> Tensor:
    return 3 * KeyedRNG(0, range(5), step=step).normal("latents", (4, 6, 6)) + torch.arange(4)[:, None, None]


# -- batch normalisation ---------------------------------------------------------------------------------------------


def test_the_norm_is_that_of_torch() -> None:
    ours = LatentNorm(torch.zeros(4), torch.ones(4), eps=1e-4, momentum=0.1)
    theirs = nn.BatchNorm2d(4, eps=1e-4, momentum=0.1, affine=False)
    for step in range(3):
        z = latents(step)
        theirs.eval()
        torch.testing.assert_close(ours(z), theirs(z))
        torch.testing.assert_close(ours.inverse(ours(z)), z, rtol=1e-4, atol=1e-4)
        theirs.train()
        normalised, moments = ours.by_batch(z)
        torch.testing.assert_close(normalised, theirs(z))
        ours.update(moments)
        torch.testing.assert_close(ours.running_mean, theirs.running_mean)
        torch.testing.assert_close(ours.running_var, theirs.running_var)


def test_statistics_of_a_batch_change_nothing() -> None:
    norm = LatentNorm(torch.zeros(4), torch.ones(4), eps=1e-4, momentum=0.1)
    norm.by_batch(latents())
    assert torch.equal(norm.running_mean, torch.zeros(4))


def test_the_divergence_is_that_of_torch() -> None:
    mean, log_variance = latents(1), latents(2) / 10
    theirs = torch.distributions.kl_divergence(
        torch.distributions.Normal(mean, (0.5 * log_variance).exp()), torch.distributions.Normal(0.0, 1.0)
    )
    torch.testing.assert_close(Posterior(mean, log_variance).divergence(), theirs.sum() / 5)


# -- the tokenizer ---------------------------------------------------------------------------------------------------


def openmoji(**options: object) -> BatchNormVAE:
    return BatchNormVAE(structure({"vae": "openmoji-vae", **options}, BatchNormVAEConfig, "tokenizer"))


class TestOpenMoji(TokenizerContract):
    @pytest.fixture
    def tokenizer(self) -> BatchNormVAE:
        return openmoji()


def test_it_begins_as_the_tokenizer_of_the_same_vae() -> None:
    tokenizer, frozen = openmoji(eps=1e-9), OpenMojiVAE()
    images = KeyedRNG(0, range(3)).uniform("images", (3, 16, 16)) * 2 - 1
    torch.testing.assert_close(tokenizer.encode(images), frozen.encode(images))
    decoded = tokenizer.decode(tokenizer.encode(images))
    torch.testing.assert_close(decoded.clamp(-1, 1), frozen.decode(frozen.encode(images)), rtol=1e-4, atol=1e-4)


def test_it_is_a_copy_of_its_own() -> None:
    tokenizer, before = openmoji(), OpenMojiVAE().state_dict()
    for parameter in tokenizer.parameters():
        parameter.data.zero_()
    torch.testing.assert_close(OpenMojiVAE().state_dict(), before)


def test_trained_weights_are_read_from_a_run(tmp_path: Path) -> None:
    trained = openmoji()
    for tensor in trained.state_dict().values():
        tensor.add_(0.01)
    storage.write_tensors(tmp_path / "tokenizer.safetensors", trained.state_dict())
    for where in (tmp_path, tmp_path / "tokenizer.safetensors"):
        torch.testing.assert_close(openmoji(weights=str(where)).state_dict(), trained.state_dict())


def test_an_unknown_autoencoder_is_refused() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'openmoji-vae'"):
        openmoji(vae="openmoji-vea")
    with pytest.raises(ConfigError, match=r"vae: expected the name of an autoencoder"):
        openmoji(vae=3)


# -- diffusers -------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    model = diffusers.AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(4, 4), latent_channels=3, norm_num_groups=2, scaling_factor=0.5, shift_factor=0.25,
    )  # fmt: skip
    model.save_pretrained(tmp_path / "kl")
    return tmp_path / "kl"


class TestKL(TokenizerContract):
    @pytest.fixture
    def tokenizer(self, folder: Path) -> BatchNormVAE:
        return BatchNormVAE(BatchNormVAEConfig(vae={"name": "kl", "path": str(folder)}))


def test_kl_is_the_model_of_diffusers(folder: Path) -> None:
    model = diffusers.AutoencoderKL.from_pretrained(folder)
    ours = KLAutoencoder(KLConfig(path=str(folder)))
    images = KeyedRNG(0, range(2)).uniform("images", (3, 8, 8)) * 2 - 1
    posterior, theirs = ours.posterior(images), model.encode(images).latent_dist
    torch.testing.assert_close(posterior.mean, theirs.mean)
    torch.testing.assert_close(posterior.divergence(), theirs.kl().mean())
    torch.testing.assert_close(ours.reconstruct(posterior.mean), model.decode(theirs.mean).sample)
    mean, std = ours.statistics()
    torch.testing.assert_close((posterior.mean - mean[:, None, None]) / std[:, None, None], (theirs.mean - 0.25) * 0.5)


def test_messages_name_the_options_of_the_autoencoder(folder: Path) -> None:
    (folder.parent / "vae").mkdir()
    with pytest.raises(DataError, match=r"Set `tokenizer\.vae\.subfolder` to 'vae'"):
        KLAutoencoder(KLConfig(path=str(folder.parent)))
    (folder / "config.json").unlink()
    with pytest.raises(DataError, match=r"Set `tokenizer\.vae\.path` to a folder that diffusers saved"):
        KLAutoencoder(KLConfig(path=str(folder)))


def test_another_class_is_refused(folder: Path) -> None:
    file = folder / "config.json"
    file.write_text(file.read_text(encoding="utf-8").replace("AutoencoderKL", "AutoencoderKLFlux2"), encoding="utf-8")
    with pytest.raises(Incompatible, match="AutoencoderKLFlux2"):
        KLAutoencoder(KLConfig(path=str(folder)))
