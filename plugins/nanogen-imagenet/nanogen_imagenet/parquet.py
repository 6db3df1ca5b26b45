"""The dataset `imagenet-parquet`: parquet files of Hugging Face image datasets, with columns `image` and `label`."""

from __future__ import annotations

from nanogen_arrow.columns import IMAGE, LABEL
from nanogen_arrow.config import ArrowConfig
from nanogen_arrow.dataset import Arrow
from nanogen_arrow.layout import parquet_files
from nanogen_arrow.pieces import schema_of
from nanogen_files.reading import user_path
from nanogen_imagenet.config import ParquetConfig


class ImageNetParquet(Arrow):
    """Images in parquet files. The file name gives the split (`train-00000-of-00294.parquet`, `validation-...`)."""

    def __init__(self, config: ParquetConfig):
        options = ArrowConfig(
            root=config.root, roots=config.roots, image=IMAGE, label=LABEL, max_corrupt=config.max_corrupt
        )
        super().__init__(options, "imagenet")

    @staticmethod
    def recognises(source: str) -> bool:
        """Return whether `source` has files `train-*.parquet` with the columns `image` and `label`."""
        files = parquet_files(user_path(source), "train")
        return bool(files) and {IMAGE, LABEL} <= set(schema_of(files[0]).names)
