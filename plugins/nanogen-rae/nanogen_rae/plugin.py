"""The manifest of nanogen-rae. Loads no torch."""

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
EPOCH = 2_502  # steps of stage 1: ImageNet in batches of 512
STEPS = 16 * EPOCH


@hookimpl
def nanogen_components() -> list[Component]:
    from nanogen_rae.presets import ENCODERS  # here, so that the scan of plugins need not wait for the table

    return [
        _tokenizer(len(ENCODERS)),
        _stage(),
        _no_backbone(),
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
        summary=f"a representation autoencoder: {encoders} published encoders, a ViT decoder",
        provides={"statistics", "decoder-training"},
    )


def _stage() -> Component:
    """Stage 1 needs no diffusion backbone: it brings one along that holds nothing."""
    return Component(
        kind="stage",
        name="rae-decoder",
        target="nanogen_rae.stage:DecoderTraining",
        config="nanogen_rae.stage_config:DecoderStageConfig",
        summary="stage 1: trains a RAE's decoder on L1, LPIPS and a GAN",
        needs={"tokenizer": {"decoder-training"}},
        defaults={
            "tokenizer": {"name": "rae"},
            "backbone": {"name": "no-backbone"},
            "objective": {"name": "flow"},
            "schedule": {"name": "cosine", "warmup_steps": EPOCH, "end_step": STEPS, "final": 0.1},  # 2e-4 to 2e-5
            "train": {"steps": STEPS, "batch_size": 512, "gradient_clip": None},
        },
    )


def _no_backbone() -> Component:
    return Component(
        kind="backbone",
        name="no-backbone",
        target="nanogen_rae.no_backbone:NoBackbone",
        summary="stands where stage 1 has no use for a backbone",
        importer="nanogen_rae.importing:refuse",
    )


def _encoder(name: str, encoder: Encoder) -> Component:
    return Component(
        kind="vision_encoder",
        name=name,
        target=f"nanogen_rae.published:{name}",
        config="nanogen_rae.config:EncoderConfig",
        summary=f"{encoder.path}, tokens of {encoder.width} numbers",
    )


def _small_encoders() -> list[Component]:
    """What comes with nanogen-openmoji, where that is installed."""
    if find_spec("nanogen_openmoji") is None:
        return []
    return [
        Component(
            kind="vision_encoder",
            name="openmoji-classifier",
            target="nanogen_rae.openmoji:OpenMojiEncoder",
            summary="the body of OpenMoji's classifier, 8 x 8 tokens of 96 numbers, for laptops",
        )
    ]
