"""EfficientNet-Lite0 with ImageNet weights: a vision encoder and a feature space for laptops."""

from typing import TYPE_CHECKING

from nanogen_files.exports import lazy_exports

if TYPE_CHECKING:
    from nanogen_efficientnet.config import EncoderConfig, FeaturesConfig
    from nanogen_efficientnet.encoder import EfficientNetEncoder
    from nanogen_efficientnet.features import EfficientNetFeatures
    from nanogen_efficientnet.network import EfficientNetLite0

__all__ = [
    "EfficientNetEncoder",
    "EfficientNetFeatures",
    "EfficientNetLite0",
    "EncoderConfig",
    "FeaturesConfig",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "EfficientNetEncoder": "encoder",
        "EfficientNetFeatures": "features",
        "EfficientNetLite0": "network",
        "EncoderConfig": "config",
        "FeaturesConfig": "config",
    },
)
