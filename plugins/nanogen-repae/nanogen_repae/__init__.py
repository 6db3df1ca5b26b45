"""REPA-E (arXiv 2504.10483): tokenizer and backbone trained together through the alignment loss."""

from typing import TYPE_CHECKING

from nanogen_files.exports import lazy_exports

if TYPE_CHECKING:
    from nanogen_repae.autoencoder import Autoencoder, Posterior
    from nanogen_repae.config import BatchNormVAEConfig, KLConfig, RepaEConfig
    from nanogen_repae.norm import LatentNorm
    from nanogen_repae.stage import RepaE
    from nanogen_repae.tokenizer import BatchNormVAE

__all__ = [
    "Autoencoder",
    "BatchNormVAE",
    "BatchNormVAEConfig",
    "KLConfig",
    "LatentNorm",
    "Posterior",
    "RepaE",
    "RepaEConfig",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "Autoencoder": "autoencoder",
        "BatchNormVAE": "tokenizer",
        "BatchNormVAEConfig": "config",
        "KLConfig": "config",
        "LatentNorm": "norm",
        "Posterior": "autoencoder",
        "RepaE": "stage",
        "RepaEConfig": "config",
    },
)
