"""OpenMoji emojis as data for NanoGen: labelled images, captioned scenes, a tiny VAE and metrics, all offline."""

from typing import TYPE_CHECKING

from nanogen_files.exports import lazy_exports

if TYPE_CHECKING:
    from nanogen_openmoji.dataset import OpenMoji
    from nanogen_openmoji.distance import Frechet, Kid
    from nanogen_openmoji.features import ClassifierFeatures
    from nanogen_openmoji.metrics import Accuracy, Scenes
    from nanogen_openmoji.settings import DistanceConfig, OpenMojiConfig
    from nanogen_openmoji.tokenizer import OpenMojiVAE

__all__ = [
    "Accuracy",
    "ClassifierFeatures",
    "DistanceConfig",
    "Frechet",
    "Kid",
    "OpenMoji",
    "OpenMojiConfig",
    "OpenMojiVAE",
    "Scenes",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "Accuracy": "metrics",
        "ClassifierFeatures": "features",
        "DistanceConfig": "settings",
        "Frechet": "distance",
        "Kid": "distance",
        "OpenMoji": "dataset",
        "OpenMojiConfig": "settings",
        "OpenMojiVAE": "tokenizer",
        "Scenes": "metrics",
    },
)
