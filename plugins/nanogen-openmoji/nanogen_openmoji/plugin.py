"""The manifest of nanogen-openmoji. Does not import torch."""

from __future__ import annotations

from nanogen_core.hookspecs import hookimpl
from nanogen_core.specs import Component

NANOGEN_API = 1


@hookimpl
def nanogen_commands() -> dict[str, tuple[str, str]]:
    return {
        "demo": ("nanogen_openmoji.demo:demo", "Train a small model on OpenMoji emojis, evaluate it and write samples.")
    }


@hookimpl
def nanogen_components() -> list[Component]:
    return [
        Component(
            kind="dataset",
            name="openmoji",
            target="nanogen_openmoji.dataset:OpenMoji",
            config="nanogen_openmoji.settings:OpenMojiConfig",
            summary="64 emojis with labels, or scenes of them with captions; any size, offline",
            provides={"labels", "captions"},
            defaults={
                "encoder": {"name": "minilm", "max_length": 16},  # the longest caption of a scene has 10 tokens
                "image_size": 64,
                "guidance": {"cfg": {"scale": 2.0, "t_max": 1.0}},
                "per_task": {
                    "imagenet": {"metric": "openmoji-accuracy"},
                    "t2i": {
                        "metric": "openmoji-scenes",
                        "conditioner": {"name": "text", "cache_size": 16_384},
                    },
                },
            },
        ),
        Component(
            kind="tokenizer",
            name="openmoji-vae",
            target="nanogen_openmoji.tokenizer:OpenMojiVAE",
            summary="a tiny VAE for emojis: 64 px to 8 x 8 x 8",
        ),
        Component(
            kind="features",
            name="openmoji-classifier",
            target="nanogen_openmoji.features:ClassifierFeatures",
            summary="128 features of the emoji classifier",
        ),
        Component(
            kind="metric",
            name="openmoji-accuracy",
            target="nanogen_openmoji.metrics:Accuracy",
            summary="classification accuracy of images for their labels",
            needs={"task": {"labels"}, "dataset": {"labels"}},
        ),
        Component(
            kind="metric",
            name="openmoji-frechet",
            target="nanogen_openmoji.distance:Frechet",
            config="nanogen_openmoji.settings:DistanceConfig",
            summary="Fréchet distance to held-out images, in features of the emoji classifier or others",
        ),
        Component(
            kind="metric",
            name="openmoji-kid",
            target="nanogen_openmoji.distance:Kid",
            config="nanogen_openmoji.settings:DistanceConfig",
            summary="kernel Inception distance to held-out images, in features of the emoji classifier or others",
        ),
        Component(
            kind="metric",
            name="openmoji-scenes",
            target="nanogen_openmoji.metrics:Scenes",
            summary="presence, colour, count and position of objects, as in GenEval",
            needs={"task": {"captions"}, "dataset": {"captions"}},
        ),
    ]


@hookimpl
def nanogen_recipes() -> dict[str, str]:
    return {"demo": "nanogen_openmoji:recipes/demo.yaml"}


@hookimpl
def nanogen_plans() -> dict[str, str]:
    return {name: f"nanogen_openmoji:plans/{name}.yaml" for name in ("mini", "perturb")}
