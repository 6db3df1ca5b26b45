"""Write a folder of precomputed latents. After an interruption, a second call keeps the finished shards."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import evolve, field, frozen

from nanogen_core.assembly import Assembly
from nanogen_core.config import Resolved, resolve
from nanogen_core.errors import DataError, NanoGenError
from nanogen_core.validators import at_least, batch
from nanogen_data.corrupt import DEFAULT_LIMIT, CorruptionCounter, CorruptSample
from nanogen_data.loader import Reading
from nanogen_data.precomputed import identity, manifest, workers
from nanogen_data.precomputed.encoding import Encoder
from nanogen_data.precomputed.manifest import Manifest
from nanogen_data.precomputed.shards import Shard
from nanogen_data.streams import refuse_stream
from nanogen_files import storage
from nanogen_files.folder_lock import LOCK, LOCK_FILES, folder_lock
from nanogen_files.write_errors import translate_write_errors

SPLIT = "train"
Report = Callable[[int, int], None]  # called with (finished examples, total examples)


def no_report(done: int, total: int) -> None:
    """Do nothing. The default progress callback."""


@frozen(kw_only=True)
class Options:
    """Options of `prepare`.

    Args:
        shard_size: Examples per shard.
        batch_size: Images per encoding batch.
        dtype: Stored dtype: float32, bfloat16 or float16.
        workers: Worker processes.
    """

    shard_size: int = field(default=1000, validator=batch)
    batch_size: int = field(default=32, validator=batch)
    dtype: str = "float32"
    workers: int = field(default=1, validator=at_least(1, 1024))


def prepare(resolved: Resolved, folder: Path, options: Options, report: Report = no_report) -> Manifest:
    """Encode the training split of a configuration into a folder.

    Args:
        resolved: The configuration.
        folder: Folder to write. A partly written one is completed.
        options: Sizes, dtype and number of processes.
        report: Called with the finished and the total number of examples.

    Returns:
        The manifest of the folder.

    Raises:
        DataError: The folder contains other files or other latents, or another process writes to it. The disk is full,
            or a quota or file-size limit is reached. The examples are a stream or empty, or more of them are corrupt
            than `max_corrupt` allows.
        NanoGenError: Latents of the task cannot be precomputed.
    """
    with (
        folder_lock(folder / LOCK, lambda holder: _busy(folder, holder)),
        translate_write_errors(lambda reason: _no_space(folder, reason)),
    ):
        parts = Assembly(resolved)
        reading = reading_of(parts)
        target = _manifest(parts, reading, options)
        _claim(folder, target)
        shards = _shards(folder, target)
        counter = CorruptionCounter(target.examples, getattr(reading.examples, "max_corrupt", DEFAULT_LIMIT))
        _write_shards(shards, range(len(shards)), counter, _worker(resolved, folder, target), options.workers, report)
        facts = [{key: value for key, value in shard.facts().items() if key != "skipped"} for shard in shards]
        complete = evolve(target, **target.shard_fields(facts, counter))
        complete.write(folder)
    return complete


def claim(resolved: Resolved, folder: Path, options: Options) -> None:
    """Write the manifest that `prepare_part` needs, or check an existing one. Arguments as in `prepare`."""
    with folder_lock(folder / LOCK, lambda holder: _busy(folder, holder)):
        parts = Assembly(resolved)
        _claim(folder, _manifest(parts, reading_of(parts), options))


def prepare_part(
    config: Mapping[str, Any], folder: Path, options: Options, part: int, parts: int, report: Report = no_report
) -> None:
    """Write every `parts`-th shard of a folder, beginning with shard number `part`.

    The parts may run at the same time. `prepare` then completes the folder.

    Args:
        config: The configuration as plain values.
        folder: Folder that `claim` has prepared.
        options: As in `prepare`.
        part: Index of the part.
        parts: Number of parts.
        report: Called with the finished and the total number of examples of this part.

    Raises:
        DataError: The folder contains other latents, the disk is full, a quota or file-size limit is reached, or too
            many samples are corrupt.
    """
    with translate_write_errors(lambda reason: _no_space(folder, reason)):
        resolved = resolve(config)
        assembly = Assembly(resolved)
        reading = reading_of(assembly)
        target = _manifest(assembly, reading, options)
        manifest.refuse_mismatch(folder, _identity(manifest.read(folder)), _identity(target))
        shards = _shards(folder, target)
        counter = CorruptionCounter(target.examples, getattr(reading.examples, "max_corrupt", DEFAULT_LIMIT))
        own = range(part, len(shards), parts)
        _write_shards(shards, own, counter, _worker(resolved, folder, target), options.workers, report)


def reading_of(parts: Assembly) -> Reading:
    """Return the examples and transform of the task's training split.

    Raises NanoGenError if the task has no method `reading`, and DataError if the examples are a stream or empty.
    """
    task = parts["task"]
    if not hasattr(task, "reading"):
        raise NanoGenError(
            f"The latents of the task {parts.resolved.task!r} cannot be precomputed: the task has no method `reading`, "
            f"which returns the examples and transform of a split. Train on images."
        )
    reading: Reading = task.reading(SPLIT)
    refuse_stream(reading.examples)
    if not len(reading.examples):
        raise DataError("The dataset has no training examples: check that `dataset.root` names the right data.")
    return reading


def _manifest(parts: Assembly, reading: Reading, options: Options) -> Manifest:
    return Manifest(
        identity=identity.identity_of(parts),
        source=identity.source_identity(parts, reading),
        classes=list(parts["classes"]),
        variants=identity.variants(reading, parts.resolved.task),
        dtype=options.dtype,
        shard_size=options.shard_size,
        batch_size=options.batch_size,
    )


def _busy(folder: Path, holder: str) -> DataError:
    return DataError(
        f"Another process{holder} is preparing latents in {folder}: wait for it, or choose another destination."
    )


def _no_space(folder: Path, reason: str) -> DataError:
    return DataError(
        f"{folder} cannot be written ({reason}). Free some space or raise the limit, then run the command again. It"
        " keeps finished shards."
    )


def _claim(folder: Path, target: Manifest) -> None:
    """Write the initial manifest, or check that the folder already has an equal one."""
    storage.sweep(folder)  # files of killed processes; the lock excludes running ones
    if (folder / manifest.NAME).is_file():
        stored = manifest.read(folder)
        manifest.refuse_mismatch(folder, _identity(stored), _identity(target))
        return
    if others := sorted(path.name for path in folder.iterdir() if path.name not in LOCK_FILES):
        raise DataError(f"{folder} is not empty (it contains {others[0]}): choose another destination.")
    target.write(folder)


def _identity(stored: Manifest) -> dict[str, Any]:
    fields = ("variants", "dtype", "shard_size", "batch_size")
    return {**stored.identity, "source": stored.source, **{name: getattr(stored, name) for name in fields}}


def _shards(folder: Path, target: Manifest) -> list[Shard]:
    return [Shard(folder, number) for number in range(-(-target.examples // target.shard_size))]


def _write_shards(
    shards: Sequence[Shard],
    own: Sequence[int],
    counter: CorruptionCounter,
    worker: Mapping[str, Any],
    count: int,
    report: Report,
) -> None:
    """Write the missing ones of the shards `own`. Reports the finished and all examples of these shards."""
    missing = [number for number in own if not shards[number].done]
    finished = sum(_count_skipped(shards[number], counter) for number in sorted({*own} - {*missing}))
    total = sum(len(_examples_of(worker["target"], number)) for number in own)
    for number in workers.run(missing, build, worker, count) if missing else ():
        finished += _count_skipped(shards[number], counter)
        report(finished, total)


def _examples_of(target: Manifest, number: int) -> range:
    """Return the indices of the examples in a shard."""
    first = number * target.shard_size
    return range(first, min(first + target.shard_size, target.examples))


def _count_skipped(shard: Shard, counter: CorruptionCounter) -> int:
    facts = shard.facts()
    counter.add(CorruptSample(*skipped) for skipped in facts["skipped"])
    return int(facts["examples"])


def _worker(resolved: Resolved, folder: Path, target: Manifest) -> dict[str, Any]:
    return {"config": resolved.as_dict(), "folder": folder, "target": target}


def build(*, config: Mapping[str, Any], folder: Path, target: Manifest, worker: int) -> workers.Make:
    """Return a function that writes the shard with a given number. Each worker process calls `build` once.

    Args:
        config: The configuration as plain values.
        folder: Folder to write.
        target: Manifest with the sizes and dtype.
        worker: Index of the worker process.
    """
    parts = Assembly(resolve(config))
    encoding = Encoder(
        parts,
        reading_of(parts),
        variants=target.variants,
        dtype=target.dtype,
        batch_size=target.batch_size,
        worker=worker,
    )

    def make(number: int) -> None:
        Shard(folder, number).write(encoding.members(_examples_of(target, number)))

    return make
