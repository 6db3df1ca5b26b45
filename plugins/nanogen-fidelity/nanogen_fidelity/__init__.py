"""Metrics of image fidelity for NanoGen, and the feature spaces that they compare images in."""

from typing import TYPE_CHECKING

from nanogen_files.exports import lazy_exports

if TYPE_CHECKING:
    from nanogen_fidelity.config import (
        Fdr6Config,
        FidConfig,
        FrechetConfig,
        InceptionConfig,
        InceptionScoreConfig,
        KidConfig,
        LpipsConfig,
        Mind6Config,
        PairedConfig,
        PrdcConfig,
        PsnrConfig,
        RfidConfig,
        VisionConfig,
    )
    from nanogen_fidelity.inception import Inception
    from nanogen_fidelity.metrics.inception_score import InceptionScore
    from nanogen_fidelity.metrics.neighbours import Kid, Prdc
    from nanogen_fidelity.metrics.paired import Lpips, Psnr, Ssim
    from nanogen_fidelity.metrics.spaces import Fdr6, Mind6
    from nanogen_fidelity.vision import Clip, ConvNeXt, DinoV2, Mae, SigLip

__all__ = [
    "Clip",
    "ConvNeXt",
    "DinoV2",
    "Fdr6",
    "Fdr6Config",
    "FidConfig",
    "FrechetConfig",
    "Inception",
    "InceptionConfig",
    "InceptionScore",
    "InceptionScoreConfig",
    "Kid",
    "KidConfig",
    "Lpips",
    "LpipsConfig",
    "Mae",
    "Mind6",
    "Mind6Config",
    "PairedConfig",
    "Prdc",
    "PrdcConfig",
    "Psnr",
    "PsnrConfig",
    "RfidConfig",
    "SigLip",
    "Ssim",
    "VisionConfig",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "Clip": "vision",
        "ConvNeXt": "vision",
        "DinoV2": "vision",
        "Fdr6": "metrics.spaces",
        "Fdr6Config": "config",
        "FidConfig": "config",
        "FrechetConfig": "config",
        "Inception": "inception",
        "InceptionConfig": "config",
        "InceptionScore": "metrics.inception_score",
        "InceptionScoreConfig": "config",
        "Kid": "metrics.neighbours",
        "KidConfig": "config",
        "Lpips": "metrics.paired",
        "LpipsConfig": "config",
        "Mae": "vision",
        "Mind6": "metrics.spaces",
        "Mind6Config": "config",
        "PairedConfig": "config",
        "Prdc": "metrics.neighbours",
        "PrdcConfig": "config",
        "Psnr": "metrics.paired",
        "PsnrConfig": "config",
        "RfidConfig": "config",
        "SigLip": "vision",
        "Ssim": "metrics.paired",
        "VisionConfig": "config",
    },
)
