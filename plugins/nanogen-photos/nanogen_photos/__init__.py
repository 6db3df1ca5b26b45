"""Composed photographs as data for NanoGen: labelled images, captioned scenes, and a detector that checks them."""

from typing import TYPE_CHECKING

from nanogen_files.exports import lazy_exports

if TYPE_CHECKING:
    from nanogen_photos.config import (
        DetectedConfig,
        DistanceConfig,
        MobileNetConfig,
        NanoDetConfig,
        PhotosConfig,
        ScenesConfig,
    )
    from nanogen_photos.dataset import Photos
    from nanogen_photos.detector import NanoDetector
    from nanogen_photos.distance import Frechet, Kid
    from nanogen_photos.features import MobileNetFeatures
    from nanogen_photos.metrics import Detected, Scenes
    from nanogen_photos.mobilenet import MobileNetV2
    from nanogen_photos.nanodet import NanoDet

__all__ = [
    "Detected",
    "DetectedConfig",
    "DistanceConfig",
    "Frechet",
    "Kid",
    "MobileNetConfig",
    "MobileNetFeatures",
    "MobileNetV2",
    "NanoDet",
    "NanoDetConfig",
    "NanoDetector",
    "Photos",
    "PhotosConfig",
    "Scenes",
    "ScenesConfig",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "Detected": "metrics",
        "DetectedConfig": "config",
        "DistanceConfig": "config",
        "Frechet": "distance",
        "Kid": "distance",
        "MobileNetConfig": "config",
        "MobileNetFeatures": "features",
        "MobileNetV2": "mobilenet",
        "NanoDet": "nanodet",
        "NanoDetConfig": "config",
        "NanoDetector": "detector",
        "Photos": "dataset",
        "PhotosConfig": "config",
        "Scenes": "metrics",
        "ScenesConfig": "config",
    },
)
