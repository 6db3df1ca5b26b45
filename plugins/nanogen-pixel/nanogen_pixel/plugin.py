"""Plugin manifest: the pixel tokenizer, three perceptual losses, four methods. Does not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import evolve

from nanogen_align.naming import DEFAULT_TEACHER, teacher_problem
from nanogen_core.hookspecs import hookimpl
from nanogen_core.registry import Chosen
from nanogen_core.specs import Component, Method

NANOGEN_API = 1

_PIXEL = Component(
    kind="tokenizer",
    name="pixel",
    target="nanogen_pixel.tokenizer:Pixel",
    summary="Identity: the latent is the image",
    provides={"pixels"},
)

_LPIPS = Component(
    kind="auxiliary",
    name="lpips",
    target="nanogen_pixel.lpips:Lpips",
    config="nanogen_pixel.config:LpipsConfig",
    summary="Perceptual loss LPIPS on the predicted image (VGG16)",
    needs={"tokenizer": {"pixels"}},
)

_PATCH_TOKENS = Component(
    kind="auxiliary",
    name="patch-tokens",
    target="nanogen_pixel.patch_tokens:PatchTokens",
    config="nanogen_pixel.config:PatchTokensConfig",
    summary="Perceptual loss on a vision encoder's patch tokens of the predicted image",
    needs={"tokenizer": {"pixels"}},
)

_CONVNEXT = Component(
    kind="auxiliary",
    name="convnext",
    target="nanogen_pixel.convnext:ConvNeXt",
    config="nanogen_pixel.config:ConvNeXtConfig",
    summary="Perceptual loss on a ConvNeXt's pooled features of the predicted image (pixel MeanFlow, arXiv 2601.22158)",
    needs={"tokenizer": {"pixels"}},
)


@hookimpl
def nanogen_components() -> list[Component]:
    return [_PIXEL, _LPIPS, _PATCH_TOKENS, _CONVNEXT]


@hookimpl
def nanogen_methods() -> list[Method]:
    jit: dict[str, Any] = {"prediction": "x", "time_mean": -1.1, "time_std": 0.8}
    perceptual: dict[str, Any] = {"auxiliary": {"lpips": {}, "patch-tokens": {}}}
    return [
        _method("pixel", "flow matching on pixels, x-prediction (the same as `jit`)", jit),
        _method("jit", "flow matching on pixels, x-prediction (JiT, arXiv 2511.13720)", jit),
        _pixnerd(),
        _method(
            "pixelgen",
            "JiT with perceptual losses on the predicted image (PixelGen, arXiv 2602.02493)",
            jit,
            **perceptual,
        ),
    ]


def _method(name: str, summary: str, objective: Mapping[str, Any], **more: Any) -> Method:
    """Return a method on pixels. Training times have the shift of the image size, sampling times have none."""
    flow = {"name": "flow", **objective, "sample_shift": 1.0}
    return Method(
        name=name, summary=summary, defaults={"tokenizer": "pixel", "backbone": "ddt", "objective": flow, **more}
    )


def _pixnerd() -> Method:
    """PixNerd. For text-to-image the sampling times have the training shift, as in DiffusionBench."""
    method = _method("pixnerd", "flow matching on pixels, v-prediction (the PixNerd setting)", {"time_mean": -1.94})
    return evolve(method, per_task={"t2i": {"objective": {"sample_shift": None}}})


@hookimpl
def nanogen_check(parts: Mapping[str, Chosen], config: Mapping[str, Any]) -> list[str]:
    """Return an error message if the teacher of `patch-tokens` is not an installed vision encoder."""
    options = config.get("auxiliary", {}).get("patch-tokens")
    if options is None:
        return []
    problem = teacher_problem("auxiliary.patch-tokens", options.get("teacher", DEFAULT_TEACHER))
    return [problem] if problem else []


@hookimpl
def nanogen_recipes() -> dict[str, str]:
    return {name: f"nanogen_pixel:recipes/{name}.yaml" for name in ("jit", "pixnerd", "pixelgen")}
