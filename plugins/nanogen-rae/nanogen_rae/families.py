"""Properties that the encoders of a family share, as a table. Does not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

Norm = Literal["plain", "affine", "none"]  # the final norm without or with its affine part, or no norm

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
UNIT = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


class Input(NamedTuple):
    """Preprocessing of images."""

    kernel: Literal["bicubic", "bilinear"]
    statistics: tuple[tuple[float, float, float], tuple[float, float, float]]  # mean, std of images in [0, 1]
    antialias: bool = False


class Layout(NamedTuple):
    """Library and structure of a model."""

    library: Literal["transformers", "timm", "perception"]  # perception: `nanogen_rae.perception`, from timm's files
    model: str  # class of transformers; empty for other libraries
    blocks: str  # attribute path of the blocks
    norm: str  # attribute path of the final norm


class Family(NamedTuple):
    """How a family of encoders is loaded and called. A ViT returns class token, registers, then patches row by row."""

    layout: Layout
    input: Input
    norm: Norm = "plain"
    class_token: bool = True
    levels: Literal["mean", "mean-and-token", "sum", "none"] = (
        "mean"  # combination of several blocks (RAEv2, 2605.18324)
    )
    load: Mapping[str, Any] = {}  # options of from_pretrained
    call: Mapping[str, Any] = {}  # options of the forward pass
    ordered: bool = False  # pass rising numbers as MAE's masking noise, so that all tokens keep their order


_VIT = "encoder.layer"
_TIMM = Layout("timm", "", "blocks", "norm")
_PE = Family(Layout("perception", "", "blocks", "norm"), Input("bilinear", HALF), norm="affine")

DINOV2_PLAIN = Layout("transformers", "Dinov2Model", _VIT, "layernorm")

FAMILIES: Mapping[str, Family] = {
    "dinov2": Family(Layout("transformers", "Dinov2WithRegistersModel", _VIT, "layernorm"), Input("bicubic", IMAGENET)),
    "dinov3": Family(
        Layout("transformers", "DINOv3ViTModel", "model.layer", "norm"),
        Input("bilinear", IMAGENET, antialias=True),
        levels="mean-and-token",
    ),
    "siglip2": Family(
        Layout("transformers", "SiglipVisionModel", "encoder.layers", "post_layernorm"),
        Input("bicubic", HALF),
        norm="affine",  # the published code intends to drop the affine part, but its flag has no effect
        class_token=False,
        call={"interpolate_pos_encoding": True},
    ),
    "mae": Family(
        Layout("transformers", "ViTMAEModel", "layers", "layernorm"),
        Input("bicubic", IMAGENET),
        load={"mask_ratio": 0.0},
        call={"interpolate_pos_encoding": True},
        ordered=True,
    ),
    "webssl": Family(DINOV2_PLAIN, Input("bicubic", IMAGENET), norm="affine"),
    "pe": _PE._replace(norm="none"),
    "spatialpe": _PE,
    "langpe": _PE,
    "eupe": Family(_TIMM, Input("bilinear", IMAGENET, antialias=True), levels="sum"),
    "convnextv2": Family(
        Layout("transformers", "ConvNextV2Model", "encoder.stages", "layernorm"),
        Input("bilinear", IMAGENET),
        norm="none",
        class_token=False,
        levels="none",
    ),
    "tipsv2": Family(Layout("transformers", "Tipsv2VisionModel", _VIT, "layernorm"), Input("bicubic", UNIT)),
}
