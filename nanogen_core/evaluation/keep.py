"""Samples kept as PNG files, with what they answer: a folder that `nanogen evaluate` reads again."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from nanogen_core import storage
from nanogen_core.evaluation.asking import LaidOut
from nanogen_core.evaluation.progress import writing
from nanogen_core.evaluation.sources.beside import LABELS, PROMPTS
from nanogen_core.images import to_pil
from nanogen_core.protocols import Metric
from nanogen_core.tensors import Batch

FOLDER = "images"
AS_IT_IS: dict[str, Any] = {"quality": 100, "subsampling": 0}  # where a layout asks for JPEG; PNG takes no notice

Keep = Callable[[Batch], None]  # is given every batch, to write its images


def keeper(folder: Path, questions: Batch, metrics: Mapping[str, Metric]) -> Keep:
    """A function that writes the images of batches as `00000.png` ... into the folder, or where a metric's official
    layout has them; `labels.csv` and `prompts.csv` say what they answer."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    laid_out = next((metric for metric in metrics.values() if isinstance(metric, LaidOut)), None)
    count = len(questions.indices)
    files = [folder / f"{n:05d}.png" for n in range(count)] if laid_out is None else list(laid_out.layout(folder))
    names = [file.relative_to(folder).as_posix() for file in files[:count]]
    if questions.labels is not None:
        storage.write_text(folder / LABELS, _csv("label", names, questions.labels.tolist()))
    if questions.captions is not None:
        storage.write_text(folder / PROMPTS, _csv("prompt", names, questions.captions))

    def keep(batch: Batch) -> None:
        assert batch.images is not None
        for index, picture in zip(batch.indices.tolist(), to_pil(batch.images), strict=True):
            with writing(files[index]):
                files[index].parent.mkdir(parents=True, exist_ok=True)
                picture.save(files[index], **AS_IT_IS)

    return keep


def _csv(column: str, names: Iterable[str], values: Iterable[object]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("file", column), *zip(names, values, strict=True)])
    return text.getvalue()
