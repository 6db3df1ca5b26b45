"""Where the images come from that metrics are shown: a model, a folder, an archive, a tokenizer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

from nanogen_core.tensors import Batch


class Source(Protocol):
    """Images by number, with what each of them answers. None of them stays in memory.

    It may have `names`, the paths of its images in their folder, by which they are paired with originals, and `total`,
    the number of images that are there where fewer are asked for.
    """

    questions: Batch  # one row an image, indices 0 ... n - 1; labels and captions where there are any; no images
    settings: Mapping[str, Any]  # what scores depend on in how the images came about
    about: Mapping[str, Any]  # which ones they are: equal only for equal images

    def read(self, spans: Iterable[range]) -> Iterator[Batch]:
        """The images of these rows, float32 [B, 3, H, W] on the 8-bit grid in [-1, 1], with what they answer: one
        batch a span, or several where sizes differ. The spans rise. Raises DataError that names a damaged image."""
