"""One pass over the images of a source: read, update the metrics, save the progress."""

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
from nanogen_eval.image_writer import ImageWriter
from nanogen_eval.metric_protocols import PairedMetric
from nanogen_eval.options import EvalOptions
from nanogen_eval.progress import Progress
from nanogen_eval.protocols import Metric
from nanogen_eval.sources import Source
from nanogen_files.errors import counted
from nanogen_files.tf32 import tf32

log = logging.getLogger(__name__)

ONE_PROCESS = DataShard()


def no_report(*figures: object) -> None:
    """Do nothing. The default progress callback."""


def measure(
    source: Source,
    metrics: Mapping[str, Metric],
    *,
    options: EvalOptions,
    report: Callable[[int, int], None] = no_report,
    folder: Path | None = None,
    writer: ImageWriter | None = None,
    after_first_batch: Callable[[Mapping[str, Metric]], None] | None = None,
    share: DataShard = ONE_PROCESS,
    alone: bool = False,
) -> None:
    """Reset the metrics, and update them with this process's share of the images.

    At the end, rank 0 merges the states of all ranks, unless `alone`. No batch stays in memory after its update.

    Args:
        source: The images.
        metrics: The metrics by name.
        options: Batch size and saving interval.
        report: Called with the number of finished images and the total for this process. On resuming, both include the
            images that were finished before.
        folder: Folder of the saved state. A pass that was interrupted resumes from it.
        writer: Writes each batch as files.
        after_first_batch: Called once with the metrics: after the first batch, or at the end if there is none.
        share: Rank of this process, and number of processes that divide the images.
        alone: Whether the processes run independently of each other. Each then saves its state, and none are merged.

    Raises:
        NanoGenError: The folder cannot be written.
    """
    for metric in metrics.values():
        metric.reset()
        if isinstance(metric, PairedMetric):
            metric.compare_with(source)
    progress = Progress(folder or Path(), metrics, len(source.requests.indices), share, options.batch_size)
    if folder is not None:
        progress.load(own=alone)
        if not alone:
            wait(share)  # no process may save while another one still loads
        if writer is not None:
            restore(source, writer, progress.done, options.batch_size, share)
    finished = int((progress.own if alone else progress.done).sum())
    total = finished + sum(map(len, progress.todo(options.batch_size)))  # images of this process
    began = saved = time.monotonic()
    before = finished
    for batch in source.read(list(progress.todo(options.batch_size))):
        with tf32(False):  # metrics are published in float32
            _update(metrics, batch)
        if after_first_batch is not None:
            after_first_batch(metrics)
            after_first_batch = None
        if writer is not None:
            writer(batch)
        progress.add(batch.indices)
        finished += len(batch.indices)
        report(finished, total)
        if folder is not None and time.monotonic() - saved >= options.save_every:
            _save(progress, writer)
            saved = time.monotonic()
    if after_first_batch is not None:
        after_first_batch(metrics)
    if folder is not None:
        _save(progress, writer)
    elif writer is not None:
        writer.flush()
    seconds = time.monotonic() - began
    log.info("%d images in %.1f s: %.1f images/s", finished - before, seconds, (finished - before) / max(seconds, 1e-9))
    if not alone:
        gather(metrics, share)


def _save(progress: Progress, writer: ImageWriter | None) -> None:
    """Save the progress, after the images that it counts."""
    if writer is not None:
        writer.flush()
    progress.save()


def restore(source: Source, writer: ImageWriter, done: Tensor, batch_size: int, share: DataShard = ONE_PROCESS) -> None:
    """Rewrite the images whose files are missing.

    With an unchanged `batch_size`, the images are made in the same batches as before, so their pixels are identical.

    Args:
        source: The images.
        writer: Writer of the image folder.
        done: Mask [N] bool of the rows whose images should exist.
        batch_size: Images per batch.
        share: Rank of this process, and number of processes that divide the images.
    """
    missing = writer.missing(done)
    if not missing.any():
        return
    if not share.rank:
        images = counted(int(missing.sum()), "image is", "images are")
        log.warning("%s missing from %s. Missing images are written again.", images, writer.folder)
    spans = [range(start, min(start + batch_size, len(done))) for start in range(0, len(done), batch_size)]
    own = [span for span in spans[share.rank :: share.world] if missing[span.start : span.stop].any()]
    for batch in source.read(own):
        writer(batch, only=missing)
    writer.flush()


@torch.no_grad()
def _update(metrics: Mapping[str, Metric], batch: Batch) -> None:
    if batch.images is None:
        raise NanoGenError("The image source returned a batch without images: fix its `read`.")
    for metric in metrics.values():
        metric.update(batch.images, batch)
