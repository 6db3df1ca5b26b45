"""One pass: the images of a source are shown to metrics, each once over all processes, and forgotten."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from nanogen_core.errors import NanoGenError
from nanogen_core.tensors import Batch
from nanogen_data.loader import DataShard
from nanogen_eval.gather import gather, wait
from nanogen_eval.image_writer import Keeper
from nanogen_eval.metric_protocols import Comparing
from nanogen_eval.options import EvalOptions
from nanogen_eval.progress import Progress
from nanogen_eval.protocols import Metric
from nanogen_eval.sources import Source

log = logging.getLogger(__name__)

First = Callable[[Mapping[str, Metric]], None]  # is given the metrics when they have seen a batch
Count = Callable[[int, int], None]  # how many are done, of how many: for a progress bar
ALONE = DataShard()


def quiet(*figures: object) -> None:
    """Reports nothing."""


def measure(
    source: Source,
    metrics: Mapping[str, Metric],
    *,
    effort: EvalOptions,
    report: Count = quiet,
    folder: Path | None = None,
    keep: Keeper | None = None,
    first: First | None = None,
    share: DataShard = ALONE,
) -> None:
    """Shows every image of the source to fresh metrics; those of process 0 have then seen all of them.

    With a `folder`, what was seen is saved there every `effort.save_every` seconds, and a pass that was stopped goes
    on from it. `first` is called once: after the first batch, or at the end where there is none. A batch never leaves
    this function. Raises NanoGenError where the folder cannot be written.
    """
    for metric in metrics.values():
        metric.reset()
        if isinstance(metric, Comparing):
            metric.compare_with(source)
    progress = Progress(folder or Path(), metrics, len(source.questions.indices), share, effort.batch_size)
    if folder is not None:
        progress.load()
        wait(share)  # or one process could save while another one still reads
        if keep is not None:
            restore(source, keep, progress.done, effort.batch_size, share)
    seen = int(progress.done.sum())
    total = seen + sum(map(len, progress.todo(effort.batch_size)))  # what falls to this process
    saved = time.monotonic()
    for batch in source.read(list(progress.todo(effort.batch_size))):
        _show(metrics, batch)
        if first is not None:
            first(metrics)
            first = None
        if keep is not None:
            keep(batch)
        progress.add(batch.indices)
        seen += len(batch.indices)
        report(seen, total)
        if folder is not None and time.monotonic() - saved >= effort.save_every:
            progress.save()
            saved = time.monotonic()
    if first is not None:
        first(metrics)
    if folder is not None:
        progress.save()
    gather(metrics, share)


def restore(source: Source, keep: Keeper, done: Tensor, batch_size: int, share: DataShard = ALONE) -> None:
    """Makes the pictures of the rows `done` [N] bool again that are no longer in the folder of kept pictures.

    They are made in the whole batches that they were made in, so that they have the same bits.
    """
    gone = keep.missing(done)
    if not gone.any():
        return
    if not share.rank:
        log.warning("%d pictures are no longer in %s and are made again.", int(gone.sum()), keep.folder)
    spans = [range(start, min(start + batch_size, len(done))) for start in range(0, len(done), batch_size)]
    mine = [span for span in spans[share.rank :: share.world] if gone[span.start : span.stop].any()]
    for batch in source.read(mine):
        keep(batch, only=gone)


@torch.no_grad()
def _show(metrics: Mapping[str, Metric], batch: Batch) -> None:
    if batch.images is None:
        raise NanoGenError("A source of images gave a batch without images.")
    for metric in metrics.values():
        metric.update(batch.images, batch)
