"""Command `nanogen data prepare`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click
from attrs import evolve

from nanogen_cluster.options import SLURM, job_options
from nanogen_cluster.resources import Resources
from nanogen_core.cli.options import BATCH, FEW, WORKERS, overrides

if TYPE_CHECKING:
    from nanogen_core.config import Resolved
    from nanogen_data.precomputed.manifest import Manifest
    from nanogen_data.precomputed.prepare import Options


@click.command()
@click.argument("source")
@click.argument("destination", type=click.Path(path_type=Path, file_okay=False))
@click.option("--config", required=True, help="Configuration to train later: a YAML file or a recipe's name.")
@click.option("--workers", type=WORKERS, help="Worker processes; default: one per GPU, or per CPU without GPUs.")
@click.option("--shard-size", type=BATCH, default=1000, show_default=True, help="Examples per shard.")
@click.option("--batch-size", type=BATCH, default=32, show_default=True, help="Images per encoding batch.")
@click.option("--dtype", type=click.Choice(["float32", "bfloat16", "float16"]), default="float32", show_default=True)
@click.option("--jobs", type=FEW, help="Number of SLURM jobs that divide the shards.")
@job_options(local_gpus=False)
@overrides
def prepare(
    source: str,
    destination: Path,
    config: str,
    workers: int | None,
    shard_size: int,
    batch_size: int,
    dtype: str,
    jobs: int | None,
    executor: str,
    resources: Resources,
    wait: bool,
    settings: tuple[str, ...],
) -> None:
    """Precompute latents and text encodings of the training data in SOURCE, for `train.precomputed_latents`.

    SOURCE is a folder whose `train` has class folders, a Hugging Face dataset or parquet files on disk, webdataset tars
    (a tar, folder, pattern or URL), or the name of a dataset. DESTINATION is the folder to write. A stopped command can
    be run again; it keeps finished shards.
    With `--executor slurm --jobs N`, N jobs of a SLURM array divide the shards, and a last job completes the folder.
    """
    from nanogen_cluster.arrays import logs_beside, refuse_submitted
    from nanogen_core.cli.options import override_layer
    from nanogen_core.config import combine
    from nanogen_data.precomputed.sources import with_source

    resolved = with_source(combine(config, override_layer(settings)), source)
    # imports torch, so only after the configuration is checked
    from nanogen_data.precomputed.prepare import Options, prepare
    from nanogen_files.errors import counted

    if (executor == SLURM) != (jobs is not None):
        raise click.UsageError("--executor slurm and --jobs, the number of jobs, belong together: give both, or none.")
    options = Options(shard_size=shard_size, batch_size=batch_size, dtype=dtype)
    if jobs is not None:
        manifest = _submit(resolved, destination, options, workers, jobs, resources, wait)
        if manifest is None:
            return
    else:
        refuse_submitted(logs_beside(destination))
        manifest = prepare(resolved, destination, evolve(options, workers=workers or _default_workers()), _report())
    size = sum(shard["bytes"] for shard in manifest.shards) / 1e6
    skipped = sum(manifest.skipped.values())
    click.echo(
        f"Prepared {manifest.examples - skipped} of {counted(manifest.examples, 'example')} in"
        f" {counted(len(manifest.shards), 'shard')}."
    )
    for reason, count in manifest.skipped.items():
        click.echo(f"Skipped {count}: {reason}.")
    click.echo(f"{size:.1f} MB are in {destination}. Train on them with --set train.precomputed_latents={destination}.")


def prepare_part(
    config: dict[str, Any], folder: Path, options: Options, workers: int | None, part: int, parts: int
) -> None:
    """Write one part of the shards, with progress on standard error.

    Args:
        config: The configuration as plain values.
        folder: Folder to write.
        options: Sizes and dtype. Its field `workers` is ignored.
        workers: Number of workers; None for one per GPU of the job, or per CPU without GPUs.
        part: Index of the part.
        parts: Number of parts.
    """
    from nanogen_data.precomputed import prepare

    prepare.prepare_part(config, folder, evolve(options, workers=workers or _default_workers()), part, parts, _report())


def complete(config: dict[str, Any], folder: Path, options: Options, workers: int | None) -> Manifest:
    """Complete a folder whose shards are all written, and return the manifest. Arguments are as in `prepare_part`."""
    from nanogen_core.config import resolve
    from nanogen_data.precomputed import prepare

    return prepare.prepare(resolve(config), folder, evolve(options, workers=workers or _default_workers()), _report())


def _submit(
    resolved: Resolved,
    destination: Path,
    options: Options,
    workers: int | None,
    jobs: int,
    resources: Resources,
    wait: bool,
) -> Manifest | None:
    """Submit the work to SLURM. Returns the manifest if it has ended."""
    from attrs import asdict

    from nanogen_cluster.arrays import ArrayWork, Call, logs_beside, run_array
    from nanogen_cluster.queues import SlurmQueue
    from nanogen_data.precomputed.prepare import claim

    config, folder = resolved.as_dict(), destination.absolute()
    claim(resolved, folder, options)
    common: dict[str, Any] = {"config": config, "folder": folder, "options": options, "workers": workers}
    work = ArrayWork(
        parts=[Call(prepare_part, **common, part=part, parts=jobs) for part in range(jobs)],
        last=Call(complete, **common),
        request=json.loads(json.dumps({"config": config, "options": asdict(options), "jobs": jobs})),
        logs=logs_beside(folder),
        title=f"nanogen prepare {folder.name}",
    )
    _, manifest = run_array(work, SlurmQueue(resources), wait=wait, log=lambda line: click.echo(line, err=True))
    return cast("Manifest | None", manifest)


def _default_workers() -> int:
    """Return the number of GPUs that this process may use, or of CPUs without GPUs."""
    import torch

    if gpus := torch.cuda.device_count():
        return gpus
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _report() -> Callable[[int, int], None]:
    """Return a function that prints the progress once per tenth."""
    printed = 0

    def report(done: int, total: int) -> None:
        nonlocal printed
        if 10 * done // total > printed:
            printed = 10 * done // total
            click.echo(f"{done} of {total} examples", err=True)

    return report
