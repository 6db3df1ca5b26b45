"""Sources of images for metrics: samples of a model, reconstructions, folders, archives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

from nanogen_core.tensors import Batch


class Source(Protocol):
    """Numbered images with their labels or captions. Images are read when needed and not kept.

    Optional attributes:
        names: Paths of the images, relative to their folder. Metrics pair images with reference images by name.
        total: Number of images in the folder or archive; at least the number of evaluated images.
    """

    requests: Batch  # one row per image without pixels: indices 0 to n - 1, labels and captions if there are any
    settings: Mapping[str, Any]  # how the images were made or stored; enters the fingerprint
    about: Mapping[str, Any]  # which images these are; equal only for equal images

    def read(self, spans: Iterable[range]) -> Iterator[Batch]:
        """Yield the images of the given rows, with their labels and captions.

        Args:
            spans: Ranges of rows, in rising order.

        Yields:
            Batches with images [B, 3, H, W], float32 on the 8-bit grid in [-1, 1]. One batch per span, or several if
            image sizes differ.

        Raises:
            DataError: An image is damaged. The message names it.
        """
