"""The manifest of nanogen-photos. Does not import torch."""

from __future__ import annotations

from nanogen_core.hookspecs import hookimpl
from nanogen_core.specs import Component

NANOGEN_API = 1


@hookimpl
def nanogen_commands() -> dict[str, tuple[str, str]]:
    return {"photos": ("nanogen_photos.cli:photos", "Convert weights, draw scenes, measure real scenes.")}


@hookimpl
def nanogen_components() -> list[Component]:
    return [
        Component(
            kind="dataset",
            name="photos",
            target="nanogen_photos.dataset:Photos",
            config="nanogen_photos.config:PhotosConfig",
            summary="cut-outs of 22 COCO classes on photographs, with labels or captions; any size, offline",
            provides={"labels", "captions"},
            defaults={
                "encoder": {"name": "minilm", "max_length": 16},
                "image_size": 64,
                "guidance": {"cfg": {"scale": 2.0, "t_max": 1.0}},
                "per_task": {
                    "imagenet": {"metric": "photos-detected"},
                    "t2i": {
                        "metric": "photos-geneval",
                        "conditioner": {"name": "text", "cache_size": 16_384},
                    },
                },
            },
        ),
        Component(
            kind="detector",
            name="nanodet",
            target="nanogen_photos.detector:NanoDetector",
            config="nanogen_photos.config:NanoDetConfig",
            summary="NanoDet-g, a detector of COCO's 80 classes for laptops",
        ),
        Component(
            kind="features",
            name="mobilenet-v2",
            target="nanogen_photos.features:MobileNetFeatures",
            config="nanogen_photos.config:MobileNetConfig",
            summary="576 features of MobileNetV2",
        ),
        Component(
            kind="metric",
            name="photos-detected",
            target="nanogen_photos.metrics:Detected",
            config="nanogen_photos.config:DetectedConfig",
            summary="share of images in which the detector finds the class of the label; compared with real scenes",
            needs={"task": {"labels"}, "dataset": {"labels"}},
        ),
        Component(
            kind="metric",
            name="photos-geneval",
            target="nanogen_photos.metrics:Scenes",
            config="nanogen_photos.config:ScenesConfig",
            summary="GenEval for objects, counts and positions of the dataset's classes; compared with real scenes",
            needs={"task": {"captions"}, "dataset": {"captions"}},
        ),
        Component(
            kind="metric",
            name="photos-frechet",
            target="nanogen_photos.distance:Frechet",
            config="nanogen_photos.config:DistanceConfig",
            summary="Fréchet distance to held-out images, in features of EfficientNet-Lite0 or MobileNetV2",
        ),
        Component(
            kind="metric",
            name="photos-kid",
            target="nanogen_photos.distance:Kid",
            config="nanogen_photos.config:DistanceConfig",
            summary="kernel Inception distance to held-out images, in features of EfficientNet-Lite0 or MobileNetV2",
        ),
    ]


@hookimpl
def nanogen_recipes() -> dict[str, str]:
    return {"demo-photos": "nanogen_photos:recipes/demo-photos.yaml"}
