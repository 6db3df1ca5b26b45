"""Refuse data that can only be read from the beginning."""

from __future__ import annotations

from typing import Any

from torch.utils.data import IterableDataset

from nanogen_core.errors import DataError


def refuse_stream(examples: Any) -> None:
    """Raise DataError for examples without random access, such as a Hugging Face dataset in streaming mode."""
    random_access = hasattr(examples, "__len__") and hasattr(examples, "__getitem__")
    if isinstance(examples, IterableDataset) or not random_access:
        kind = f"{type(examples).__module__}.{type(examples).__qualname__}"
        raise DataError(
            f"The data are a stream ({kind}), which can only be read from its beginning. Training reads examples by "
            "number: it shuffles whole epochs, gives equal batches on any number of processes, and resumes exactly. "
            "Write the data to disk once: `datasets.load_dataset(NAME, split='train').save_to_disk('DATA/train')`, or "
            "download the parquet files or tars to DATA. Then set `dataset.root` to DATA, or encode DATA: "
            "`nanogen data prepare DATA LATENTS --config CONFIG`."
        )
