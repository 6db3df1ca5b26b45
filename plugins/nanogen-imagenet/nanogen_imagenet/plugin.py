"""The manifest of nanogen-imagenet. Does not import torch."""

from __future__ import annotations

from nanogen_core.hookspecs import hookimpl
from nanogen_core.specs import Component

NANOGEN_API = 1

_TASK = Component(
    kind="task",
    name="imagenet",
    target="nanogen_imagenet.task:ImageNet",
    config="nanogen_imagenet.config:ImageNetConfig",
    summary="class-conditional images: centre crop, optional flip; evaluated on balanced labels",
    provides=frozenset({"labels"}),
    needs={"dataset": {"labels"}},
    defaults={
        "conditioner": {"name": "label"},
        "dataset": {"name": "imagenet-folder"},
        "image_size": 256,
        # The published interval. The published scale depends on the method (1.6 to 9), so the default is unguided.
        "guidance": {"cfg": {"scale": 1.0, "t_min": 0.0, "t_max": 0.9}},
    },
)

_LABEL = Component(
    kind="conditioner",
    name="label",
    target="nanogen_imagenet.label:Label",
    config="nanogen_imagenet.config:LabelConfig",
    summary="class labels as a one-hot token, whose projection is added to learned tokens",
    needs={"task": {"labels"}},
)

_FOLDER = Component(
    kind="dataset",
    name="imagenet-folder",
    target="nanogen_imagenet.folder:ImageNetFolder",
    config="nanogen_imagenet.config:FolderConfig",
    summary="folders train and val with one folder of images per class",
    provides=frozenset({"labels"}),
)

_PARQUET = Component(
    kind="dataset",
    name="imagenet-parquet",
    target="nanogen_imagenet.parquet:ImageNetParquet",
    config="nanogen_imagenet.config:ParquetConfig",
    summary="parquet files of a Hugging Face image dataset",
    provides=frozenset({"labels"}),
)


@hookimpl
def nanogen_components() -> list[Component]:
    return [_TASK, _LABEL, _FOLDER, _PARQUET]
