"""The manifest of nanogen-fidelity. Does not import torch."""

from __future__ import annotations

from nanogen_core.hookspecs import hookimpl
from nanogen_core.specs import Component

NANOGEN_API = 1

SPACES = {
    "inception": ("inception:Inception", "InceptionConfig", "Inception-v3 of FID, 2048 features"),
    "convnext": ("vision:ConvNeXt", "VisionConfig", "ConvNeXt V2 base, 1024 features (timm)"),
    "dinov2-cls": ("vision:DinoV2", "VisionConfig", "DINOv2 large, class token (timm)"),
    "mae-cls": ("vision:Mae", "VisionConfig", "MAE large, class token (timm)"),
    "siglip-cls": ("vision:SigLip", "VisionConfig", "SigLIP 2 so400m, attention pooling (timm)"),
    "clip-cls": ("vision:Clip", "VisionConfig", "CLIP large, class token (timm)"),
}
METRICS = {
    "fid": ("frechet:fid", "FidConfig", "Fréchet Inception distance (arXiv 1706.08500)"),
    "rfid": ("frechet:rfid", "RfidConfig", "FID of reconstructions to their originals or a reference"),
    "frechet": ("frechet:frechet", "FrechetConfig", "Fréchet distance in any feature space"),
    "inception-score": (
        "inception_score:InceptionScore",
        "InceptionScoreConfig",
        "Inception score (arXiv 1606.03498)",
    ),
    "kid": ("neighbours:Kid", "KidConfig", "kernel Inception distance (arXiv 1801.01401)"),
    "prdc": ("neighbours:Prdc", "PrdcConfig", "precision, recall, density, coverage"),
    "fdr6": ("spaces:Fdr6", "Fdr6Config", "Fréchet distances in six feature spaces, relative to real images"),
    "mind6": ("spaces:Mind6", "Mind6Config", "MIND distances in six feature spaces (arXiv 2605.06797)"),
    "psnr": ("paired:Psnr", "PsnrConfig", "peak signal-to-noise ratio to the originals, dB"),
    "ssim": ("paired:Ssim", "PairedConfig", "structural similarity to the originals"),
    "lpips": ("paired:Lpips", "LpipsConfig", "LPIPS to the originals (arXiv 1801.03924)"),
}


@hookimpl
def nanogen_components() -> list[Component]:
    return [
        *(_component("features", "nanogen_fidelity", name, *parts) for name, parts in SPACES.items()),
        *(_component("metric", "nanogen_fidelity.metrics", name, *parts) for name, parts in METRICS.items()),
    ]


def _component(kind: str, package: str, name: str, target: str, config: str, summary: str) -> Component:
    config = f"nanogen_fidelity.config:{config}"
    return Component(kind=kind, name=name, target=f"{package}.{target}", config=config, summary=summary)
