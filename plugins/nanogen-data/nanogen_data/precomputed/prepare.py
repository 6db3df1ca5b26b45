"""Fills a folder with prepared latents. Killed at any moment and called again, it goes on after its whole shards."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import evolve, field, frozen

from nanogen_core.assembly import Assembly
from nanogen_core.config import Resolved, resolve
from nanogen_core.errors import DataError, NanoGenError
from nanogen_core.validators import at_least, batch
from nanogen_data.corrupt import LIMIT, CorruptionCounter, CorruptSample
from nanogen_data.loader import Reading
from nanogen_data.precomputed import identity, manifest, workers
from nanogen_data.precomputed.encoding import Encoding
from nanogen_data.precomputed.manifest import Manifest
from nanogen_data.precomputed.shards import Shard
from nanogen_files import storage
from nanogen_files.folder_lock import LOCK, LOCK_FILES, folder_lock
from nanogen_files.write_errors import translate_write_errors

SPLIT = "train"
Report = Callable[[int, int], None]  # examples that are done, of how many


@frozen(kw_only=True)
class Options:
    """`shard_size`: examples in a shard. `batch_size`: examples that are encoded at once. `dtype`: of what is kept.
    `workers`: processes."""

    shard_size: int = field(default=1000, validator=batch)
    batch_size: int = field(default=32, validator=batch)
    dtype: str = "float32"
    workers: int = field(default=1, validator=at_least(1, 1024))


def prepare(resolved: Resolved, folder: Path, options: Options, report: Report = lambda done, total: None) -> Manifest:
    """Encodes the training split of a configuration into `folder`, and returns the manifest that then lies there.

    Raises DataError where the folder holds other latents, is being written by another process, or the disk is full;
    and where more of the examples are bad than the dataset's `max_corrupt` allows.
    """
    with (
        folder_lock(folder / LOCK, lambda holder: _busy(folder, holder)),
        translate_write_errors(lambda reason: _disk_full(folder, reason)),
    ):
        parts = Assembly(resolved)
        reading = reading_of(parts)
        wanted = _wanted(parts, reading, options)
        _claim(folder, wanted)
        shards = [Shard(folder, number) for number in range(-(-wanted.examples // options.shard_size))]
        tally = CorruptionCounter(wanted.examples, getattr(reading.examples, "max_corrupt", LIMIT))
        _make(shards, tally, _worker(resolved, folder, wanted), options.workers, report)
        facts = [{key: value for key, value in shard.facts().items() if key != "skipped"} for shard in shards]
        finished = evolve(wanted, **wanted.finished(facts, tally))
        finished.write(folder)
    return finished


def reading_of(parts: Assembly) -> Reading:
    """How the task of a configuration reads its training split. Raises NanoGenError for a task that does not say so."""
    task = parts["task"]
    if not hasattr(task, "reading"):
        raise NanoGenError(
            f"The latents of the task {parts.resolved.task!r} cannot be prepared, because it has no method `reading` "
            f"that says how it reads a split: train it on pixels."
        )
    reading: Reading = task.reading(SPLIT)
    if not len(reading.examples):
        raise DataError("The dataset has no training examples to prepare: check the folder that its `root` names.")
    return reading


def _wanted(parts: Assembly, reading: Reading, options: Options) -> Manifest:
    return Manifest(
        wanted=identity.wanted(parts),
        source=identity.source(parts, reading),
        classes=list(parts["classes"]),
        variants=identity.variants(reading, parts.resolved.task),
        dtype=options.dtype,
        shard_size=options.shard_size,
        batch_size=options.batch_size,
    )


def _busy(folder: Path, holder: str) -> DataError:
    return DataError(f"Another process{holder} is preparing latents in {folder}: choose another destination.")


def _disk_full(folder: Path, reason: str) -> DataError:
    return DataError(
        f"The disk of {folder} is full ({reason}): free some space and run the command again. It keeps finished shards."
    )


def _claim(folder: Path, wanted: Manifest) -> None:
    """Writes what is going to lie here, or finds that it is what lies here already."""
    storage.sweep(folder)  # of a process that was killed; the lock says that none is at work
    if (folder / manifest.NAME).is_file():
        there = manifest.read(folder)
        manifest.refuse_others(folder, _question(there), _question(wanted))
        return
    if others := sorted(path.name for path in folder.iterdir() if path.name not in LOCK_FILES):
        raise DataError(f"{folder} is not empty ({others[0]} lies there): name another destination.")
    wanted.write(folder)


def _question(there: Manifest) -> dict[str, Any]:
    kept = ("variants", "dtype", "shard_size", "batch_size")
    return {**there.wanted, "source": there.source, **{name: getattr(there, name) for name in kept}}


def _make(
    shards: Sequence[Shard], tally: CorruptionCounter, worker: Mapping[str, Any], count: int, report: Report
) -> None:
    done = [number for number, shard in enumerate(shards) if shard.done]
    for number in done:
        _count(shards[number], tally)
    examples = sum(int(shards[number].facts()["examples"]) for number in done)
    missing = [number for number, shard in enumerate(shards) if not shard.done]
    for number in workers.run(missing, build, worker, count) if missing else ():
        examples += _count(shards[number], tally)
        report(examples, tally.total)


def _count(shard: Shard, tally: CorruptionCounter) -> int:
    facts = shard.facts()
    tally.add(CorruptSample(*skipped) for skipped in facts["skipped"])
    return int(facts["examples"])


def _worker(resolved: Resolved, folder: Path, wanted: Manifest) -> dict[str, Any]:
    return {"config": resolved.as_dict(), "folder": folder, "wanted": wanted}


def build(*, config: Mapping[str, Any], folder: Path, wanted: Manifest) -> workers.Make:
    """What makes a shard, in the process that is to make it."""
    parts = Assembly(resolve(config))
    encoding = Encoding(
        parts, reading_of(parts), variants=wanted.variants, dtype=wanted.dtype, batch_size=wanted.batch_size
    )

    def make(number: int) -> None:
        first = number * wanted.shard_size
        Shard(folder, number).write(encoding.members(range(first, min(first + wanted.shard_size, wanted.examples))))

    return make
