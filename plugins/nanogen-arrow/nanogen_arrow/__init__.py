"""Hugging Face datasets on disk (`save_to_disk` folders or parquet files) as a dataset for NanoGen."""

from typing import TYPE_CHECKING

from nanogen_files.exports import lazy_exports

if TYPE_CHECKING:
    from nanogen_arrow.config import ArrowConfig
    from nanogen_arrow.dataset import Arrow

__all__ = [
    "Arrow",
    "ArrowConfig",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "Arrow": "dataset",
        "ArrowConfig": "config",
    },
)
