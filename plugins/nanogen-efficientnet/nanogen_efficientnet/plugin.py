"""Plugin manifest: a vision encoder and a feature space. Does not import torch."""

from __future__ import annotations

from nanogen_core.hookspecs import hookimpl
from nanogen_core.specs import Component

NANOGEN_API = 1
NAME = "efficientnet-lite0"


@hookimpl
def nanogen_components() -> list[Component]:
    return [
        Component(
            kind="vision_encoder",
            name=NAME,
            target="nanogen_efficientnet.encoder:EfficientNetEncoder",
            config="nanogen_efficientnet.config:EncoderConfig",
            summary="Vision encoder for laptops: inner tokens of EfficientNet-Lite0, trained on ImageNet",
        ),
        Component(
            kind="features",
            name=NAME,
            target="nanogen_efficientnet.features:EfficientNetFeatures",
            config="nanogen_efficientnet.config:FeaturesConfig",
            summary="1280 features of EfficientNet-Lite0",
        ),
    ]
