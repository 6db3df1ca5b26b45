"""Table of the published encoders: locations of their weights, and shapes of their tokens. Does not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from nanogen_rae.families import FAMILIES, Family


class Encoder(NamedTuple):
    """A published encoder."""

    family: str
    path: str  # name on the Hugging Face hub
    width: int  # of a token
    patch: int = 16  # side of a patch in pixels of the network's input
    class_token: bool = True
    registerless: str | None = None  # name on the hub of the model without registers
    scale: tuple[int, int] | None = None  # network pixels for image pixels; None: one patch for 16 image pixels

    @property
    def reading(self) -> Family:
        return FAMILIES[self.family]

    @property
    def has_class_token(self) -> bool:
        return self.class_token and self.reading.class_token


def _dinov2(size: str, width: int) -> Encoder:
    path = f"facebook/dinov2-with-registers-{size}"
    return Encoder("dinov2", path, width, 14, registerless=f"facebook/dinov2-{size}")


def _dinov3(size: str, width: int) -> Encoder:
    return Encoder("dinov3", f"facebook/dinov3-vit{size}-pretrain-lvd1689m", width)


def _siglip2(size: str, width: int) -> Encoder:
    return Encoder("siglip2", f"google/siglip2-{size}-patch16-256", width)


def _webssl(size: str, width: int) -> Encoder:
    return Encoder("webssl", f"facebook/webssl-dino{size}-full2b-224", width, 14)


def _perception(family: str, name: str, width: int, patch: int, class_token: bool = True) -> Encoder:
    return Encoder(family, f"timm/vit_pe_{name}.fb", width, patch, class_token)


def _eupe(size: str, width: int) -> Encoder:
    return Encoder("eupe", f"timm/vit_{size}_patch16_dinov3_qkvb.eupe_lvd1689m", width)


def _convnextv2(size: str, width: int) -> Encoder:
    return Encoder("convnextv2", f"facebook/convnextv2-{size}-22k-224", width, 32, scale=(224, 256))


def _tipsv2(size: str, width: int) -> Encoder:
    return Encoder("tipsv2", f"google/tipsv2-{size}", width, 14)


ENCODERS: Mapping[str, Encoder] = {
    "dinov2-vit-s": _dinov2("small", 384),
    "dinov2-vit-b": _dinov2("base", 768),
    "dinov2-vit-l": _dinov2("large", 1024),
    "dinov2-vit-g": _dinov2("giant", 1536),
    "dinov3-vit-s16": _dinov3("s16", 384),
    "dinov3-vit-s16plus": _dinov3("s16plus", 384),
    "dinov3-vit-b16": _dinov3("b16", 768),
    "dinov3-vit-l16": _dinov3("l16", 1024),
    "dinov3-vit-h16plus": _dinov3("h16plus", 1280),
    "dinov3-vit-7b16": _dinov3("7b16", 4096),
    "siglip2-vit-b": _siglip2("base", 768),
    "siglip2-vit-l": _siglip2("large", 1024),
    "siglip2-vit-so400m": _siglip2("so400m", 1152),
    "siglip2-vit-g": _siglip2("giant-opt", 1536),
    "mae-vit-b": Encoder("mae", "facebook/vit-mae-base", 768),
    "mae-vit-l": Encoder("mae", "facebook/vit-mae-large", 1024),
    "mae-vit-h": Encoder("mae", "facebook/vit-mae-huge", 1280, 14),
    "webssl-300m": _webssl("300m", 1024),
    "webssl-1b": _webssl("1b", 1536),
    "webssl-2b": _webssl("2b", 2688),
    "webssl-3b": _webssl("3b", 3072),
    "webssl-5b": _webssl("5b", 3584),
    "webssl-7b": _webssl("7b", 4096),
    "pe-vit-t": _perception("pe", "core_tiny_patch16_384", 192, 16),
    "pe-vit-s": _perception("pe", "core_small_patch16_384", 384, 16),
    "pe-vit-b": _perception("pe", "core_base_patch16_224", 768, 16),
    "pe-vit-l": _perception("pe", "core_large_patch14_336", 1024, 14),
    "pe-vit-g": _perception("pe", "core_gigantic_patch14_448", 1536, 14, class_token=False),
    "spatialpe-vit-t": _perception("spatialpe", "spatial_tiny_patch16_512", 192, 16),
    "spatialpe-vit-s": _perception("spatialpe", "spatial_small_patch16_512", 384, 16),
    "spatialpe-vit-b": _perception("spatialpe", "spatial_base_patch16_512", 768, 16),
    "spatialpe-vit-l": _perception("spatialpe", "spatial_large_patch14_448", 1024, 14),
    "spatialpe-vit-g": _perception("spatialpe", "spatial_gigantic_patch14_448", 1536, 14, class_token=False),
    "langpe-vit-l": _perception("langpe", "lang_large_patch14_448", 1024, 14),
    "langpe-vit-g": _perception("langpe", "lang_gigantic_patch14_448", 1536, 14, class_token=False),
    "eupe-vit-t16": _eupe("tiny", 192),
    "eupe-vit-s16": _eupe("small", 384),
    "eupe-vit-b16": _eupe("base", 768),
    "convnextv2-n": _convnextv2("nano", 640),
    "convnextv2-t": _convnextv2("tiny", 768),
    "convnextv2-b": _convnextv2("base", 1024),
    "convnextv2-l": _convnextv2("large", 1536),
    "tipsv2-vit-b14": _tipsv2("b14", 768),
    "tipsv2-vit-l14": _tipsv2("l14", 1024),
    "tipsv2-vit-so14": _tipsv2("so400m14", 1152),
    "tipsv2-vit-g14": _tipsv2("g14", 1536),
}
