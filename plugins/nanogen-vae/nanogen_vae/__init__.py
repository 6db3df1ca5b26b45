"""Latent diffusion: VAEs of diffusers as tokenizers."""

from typing import TYPE_CHECKING

from nanogen_files.exports import lazy_exports

if TYPE_CHECKING:
    from nanogen_vae.config import VAEConfig
    from nanogen_vae.tokenizer import VAE

__all__ = [
    "VAE",
    "VAEConfig",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "VAE": "tokenizer",
        "VAEConfig": "config",
    },
)
