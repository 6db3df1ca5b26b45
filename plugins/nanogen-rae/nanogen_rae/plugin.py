"""Plugin manifest: the tokenizer and method `rae`, the stage `rae-decoder`, vision encoders. Does not import torch."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from nanogen_core.hookspecs import hookimpl
from nanogen_core.specs import Component, Method

if TYPE_CHECKING:
    from nanogen_rae.presets import Encoder

NANOGEN_API = 1

RECIPES = (
    "dinov2-b",
    "dinov2-b-reg",
    "dinov3-b",
    "dinov3-b-reg",
    "siglip2-b",
    "pe-l",
    "langpe-l",
    "spatialpe-l",
)
EPOCH = 2_502  # steps per epoch of stage 1: ImageNet in batches of 512
STEPS = 16 * EPOCH


@hookimpl
def nanogen_components() -> list[Component]:
    from nanogen_rae.presets import ENCODERS  # not at the top: the plugin scan must stay fast

    return [
        _tokenizer(len(ENCODERS)),
        _stage(),
        *(_encoder(*item) for item in ENCODERS.items()),
        *_small_encoders(),
    ]


@hookimpl
def nanogen_methods() -> list[Method]:
    return [
        Method(
            name="rae",
            summary="flow matching on the tokens of a frozen vision encoder",
            defaults={"tokenizer": {"name": "rae"}, "backbone": {"name": "ddt"}, "objective": {"name": "flow"}},
        )
    ]


@hookimpl
def nanogen_recipes() -> dict[str, str]:
    return {name: f"nanogen_rae:recipes/{name}.yaml" for name in RECIPES}


def _tokenizer(encoders: int) -> Component:
    return Component(
        kind="tokenizer",
        name="rae",
        target="nanogen_rae.tokenizer:RAE",
        config="nanogen_rae.config:RAEConfig",
        summary=f"Representation autoencoder: {encoders} published encoders, a ViT decoder",
        provides={"statistics", "decoder-training"},
        importer="nanogen_rae.importing:refuse",
    )


def _stage() -> Component:
    return Component(
        kind="stage",
        name="rae-decoder",
        target="nanogen_rae.stage:DecoderTraining",
        config="nanogen_rae.stage_config:DecoderStageConfig",
        summary="Stage 1: train a RAE's decoder with L1, LPIPS and a GAN loss",
        needs={"tokenizer": {"decoder-training"}},
        excludes={"backbone"},
        defaults={
            "tokenizer": {"name": "rae"},
            "objective": {"name": "flow"},
            "schedule": {"name": "cosine", "warmup_steps": EPOCH, "end_step": STEPS, "final": 0.1},  # 2e-4 to 2e-5
            "train": {"steps": STEPS, "batch_size": 512, "gradient_clip": None},
        },
    )


def _encoder(name: str, encoder: Encoder) -> Component:
    return Component(
        kind="vision_encoder",
        name=name,
        target=f"nanogen_rae.published:{name}",
        config="nanogen_rae.config:EncoderConfig",
        summary=f"Vision encoder {encoder.path}, tokens of width {encoder.width}",
    )


def _small_encoders() -> list[Component]:
    """Return the encoder of nanogen-openmoji, if that is installed."""
    if find_spec("nanogen_openmoji") is None:
        return []
    return [
        Component(
            kind="vision_encoder",
            name="openmoji-classifier",
            target="nanogen_rae.openmoji:OpenMojiEncoder",
            summary="Vision encoder for laptops: OpenMoji's classifier, 8 x 8 tokens of width 96",
        )
    ]
