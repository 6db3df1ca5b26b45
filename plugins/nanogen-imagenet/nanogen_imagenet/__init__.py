"""Class-conditional generation for NanoGen: the task, the label conditioner and two datasets on disk."""

from typing import TYPE_CHECKING

from nanogen_files.exports import lazy_exports

if TYPE_CHECKING:
    from nanogen_imagenet.config import FolderConfig, ImageNetConfig, LabelConfig, ParquetConfig
    from nanogen_imagenet.folder import ImageNetFolder
    from nanogen_imagenet.label import Label
    from nanogen_imagenet.parquet import ImageNetParquet
    from nanogen_imagenet.task import ImageNet

__all__ = [
    "FolderConfig",
    "ImageNet",
    "ImageNetConfig",
    "ImageNetFolder",
    "ImageNetParquet",
    "Label",
    "LabelConfig",
    "ParquetConfig",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "FolderConfig": "config",
        "ImageNet": "task",
        "ImageNetConfig": "config",
        "ImageNetFolder": "folder",
        "ImageNetParquet": "parquet",
        "Label": "label",
        "LabelConfig": "config",
        "ParquetConfig": "config",
    },
)
