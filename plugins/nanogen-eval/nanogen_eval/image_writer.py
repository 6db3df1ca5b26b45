"""Writer of sample images with their labels or prompts. `nanogen evaluate` can read the folder again."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor

from nanogen_core.errors import DataError, NanoGenError, listing, shown
from nanogen_core.tensors import Batch
from nanogen_eval.metric_protocols import HasLayout
from nanogen_eval.progress import writing
from nanogen_eval.protocols import Metric
from nanogen_eval.score import canonical, fingerprint, plain
from nanogen_eval.sources import Source
from nanogen_eval.sources.sidecars import LABELS, PROMPTS
from nanogen_files import storage
from nanogen_files.errors import counted
from nanogen_files.images import to_pil
from nanogen_files.names import inside

FOLDER = "images"
THREADS = 4  # that encode PNG files
MARKER = ".nanogen-images.json"  # records which model, seed and sampler the images are of
JPEG_OPTIONS: dict[str, Any] = {"quality": 100, "subsampling": 0}  # for layouts with JPEG files; PNG ignores them


class ImageWriter:
    """Writes images as `00000.png`, `00001.png` ... into a folder, or into the folder layout of a metric.

    `labels.csv` and `prompts.csv` hold the labels and prompts. A marker file records the model, seed and sampler.
    """

    def __init__(self, folder: Path, source: Source, metrics: Mapping[str, Metric], seed: int):
        """Choose the file names for the images of a source.

        Args:
            folder: Folder to write to.
            source: The images. Its `settings` and `about` identify them.
            metrics: Metrics of the pass. The first one with a `layout` determines the file names.
            seed: Sampling seed of the images.

        Raises:
            DataError: The layout has a path outside the folder, or fewer different paths than there are images.
        """
        self.folder, self._requests = folder, source.requests
        self._threads, self._pending = ThreadPoolExecutor(THREADS), list[Future[None]]()
        count = len(source.requests.indices)
        self._layout = next((metric for metric in metrics.values() if isinstance(metric, HasLayout)), None)
        self._names = [f"{n:05d}.png" for n in range(count)] if self._layout is None else _names(self._layout, count)
        facts = {**source.settings, **source.about, "seed": seed, "count": count}
        self._facts: dict[str, Any] = plain({**facts, "files": fingerprint({"names": self._names})})

    def refuse_others(self, ignoring: Sequence[str] = ()) -> None:
        """Raise NanoGenError if the folder holds images of another evaluation, or files of another program.

        Args:
            ignoring: Keys of the marker file whose values may differ.
        """
        marker = self.folder / MARKER
        if not marker.exists():
            if self.folder.exists() and not _is_empty(self.folder):
                raise NanoGenError(
                    f"{self.folder} has files, but no {MARKER} of an evaluation. Choose another --output."
                )
            return
        known = storage.read_json(marker)
        if not isinstance(known, dict):
            raise DataError(f"{marker} is damaged: it must hold a JSON object. Choose another --output.")
        other = [key for key in {*known, *self._facts} - {*ignoring} if self._differs(known, key)]
        if other:
            raise NanoGenError(
                f"{self.folder} has images of an evaluation that differs in {listing(other)}. Choose another --output."
            )

    def claim(self) -> bool:
        """Write the marker, the labels and the prompts.

        Returns:
            Whether the folder had no marker before.

        Raises:
            NanoGenError: As in `refuse_others`.
        """
        self.refuse_others()
        marker = self.folder / MARKER
        new = not marker.exists()
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            storage.write_json(marker, self._facts)
            if self._layout is not None:
                self._layout.layout(self.folder)
            if self._requests.labels is not None:
                storage.write_text(self.folder / LABELS, _csv("label", self._names, self._requests.labels.tolist()))
            if self._requests.captions is not None:
                storage.write_text(self.folder / PROMPTS, _csv("prompt", self._names, self._requests.captions))
        return new

    def missing(self, rows: Tensor) -> Tensor:
        """Return the rows without an image file, as a mask [N] bool. `rows` [N] bool selects the rows to check."""
        gone = [bool(row) and not (self.folder / name).is_file() for row, name in zip(rows, self._names, strict=True)]
        return torch.tensor(gone, dtype=torch.bool)

    def __call__(self, batch: Batch, only: Tensor | None = None) -> None:
        """Start to write the images of a batch in threads. First waits until the previous batch is written.

        Args:
            batch: The images.
            only: Rows [N] bool of the source to write; by default all.

        Raises:
            NanoGenError: An image of the previous batch could not be written.
        """
        assert batch.images is not None
        self.flush()
        for index, picture in zip(batch.indices.tolist(), to_pil(batch.images), strict=True):
            if only is None or only[index]:
                self._pending.append(self._threads.submit(self._write, self._names[index], picture))

    def flush(self) -> None:
        """Wait until all images are written. Raises NanoGenError if an image could not be written."""
        pending, self._pending = self._pending, []
        wait(pending)
        for image in pending:
            image.result()

    def _write(self, name: str, picture: Image) -> None:
        file = self.folder / name
        with writing(file):
            file.parent.mkdir(parents=True, exist_ok=True)
            picture.save(inside(self.folder, file), **JPEG_OPTIONS)

    def _differs(self, known: Mapping[str, Any], key: str) -> bool:
        absent = key not in known or key not in self._facts
        return absent or canonical({"": known[key]}) != canonical({"": self._facts[key]})


def _names(laid_out: HasLayout, count: int) -> list[str]:
    """File names of a metric's layout, from a copy of the layout in a temporary folder."""
    with TemporaryDirectory() as home:
        folder = Path(home)
        places = list(laid_out.layout(folder))[:count]
        for place in places:
            try:
                inside(folder, place)
                place.relative_to(folder)
            except (DataError, ValueError) as error:
                raise DataError(
                    f"The metric {type(laid_out).__name__} puts an image outside the output folder, at"
                    f" {shown(str(place))}. Check its image names for `..` or a leading /."
                ) from error
        names = [place.relative_to(folder).as_posix() for place in places]
    if len(set(names)) < count:
        raise DataError(
            f"The metric {type(laid_out).__name__} names only {counted(len(set(names)), 'different file')} for {count}"
            " images. Lower --count, or check its image names for repeats."
        )
    return names


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())


def _csv(column: str, names: Iterable[str], values: Iterable[object]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("file", column), *zip(names, values, strict=True)])
    return text.getvalue()
