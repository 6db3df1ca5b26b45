"""The tiny autoencoder of nanogen-openmoji."""

from __future__ import annotations

from torch import Tensor, nn

from nanogen_openmoji.vae import CHANNELS, STRIDE, TinyVAE  # type: ignore[import-untyped, unused-ignore]
from nanogen_repae.autoencoder import Posterior


class OpenMojiAutoencoder(nn.Module):
    """A copy of the VAE of the tokenizer `openmoji-vae`."""

    channels, factor = CHANNELS, STRIDE

    def __init__(self) -> None:
        super().__init__()
        self.net = TinyVAE.load()

    def posterior(self, images: Tensor) -> Posterior:
        return Posterior(*self.net.posterior(images))

    def reconstruct(self, z: Tensor) -> Tensor:
        images: Tensor = self.net.reconstruct(z)
        return images

    def statistics(self) -> tuple[Tensor, Tensor]:
        return self.net.mean, self.net.std
