"""Command `nanogen data prepare`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import click

from nanogen_core.cli.options import BATCH, WORKERS, overrides


@click.command()
@click.argument("source")
@click.argument("destination", type=click.Path(path_type=Path, file_okay=False))
@click.option("--config", required=True, help="Configuration to train later: a YAML file or a recipe's name.")
@click.option("--workers", type=WORKERS, help="Worker processes; default: one per CPU.")
@click.option("--shard-size", type=BATCH, default=1000, show_default=True, help="Examples per shard.")
@click.option("--batch-size", type=BATCH, default=32, show_default=True, help="Images per encoding batch.")
@click.option("--dtype", type=click.Choice(["float32", "bfloat16", "float16"]), default="float32", show_default=True)
@overrides
def prepare(
    source: str,
    destination: Path,
    config: str,
    workers: int | None,
    shard_size: int,
    batch_size: int,
    dtype: str,
    settings: tuple[str, ...],
) -> None:
    """Precompute latents and text encodings of the training data in SOURCE, for `train.precomputed_latents`.

    SOURCE is a folder of class folders, a Hugging Face dataset on disk, a folder or pattern of webdataset tars, or the
    name of a dataset. DESTINATION is the folder to write. A stopped command can be run again; it keeps finished shards.
    """
    from nanogen_core.cli.options import override_layer
    from nanogen_core.config import combine
    from nanogen_data.precomputed.sources import with_source

    resolved = with_source(combine(config, override_layer(settings)), source)
    # imports torch, so only after the configuration is checked
    from nanogen_data.precomputed.prepare import Options, prepare

    options = Options(shard_size=shard_size, batch_size=batch_size, dtype=dtype, workers=workers or _cpus())
    manifest = prepare(resolved, destination, options, _report())
    size = sum(shard["bytes"] for shard in manifest.shards) / 1e6
    skipped = sum(manifest.skipped.values())
    click.echo(
        f"Prepared {manifest.examples - skipped} of {manifest.examples} examples in {len(manifest.shards)} shards."
    )
    for reason, count in manifest.skipped.items():
        click.echo(f"Skipped {count}: {reason}.")
    click.echo(f"{size:.1f} MB are in {destination}. Train on them with --set train.precomputed_latents={destination}.")


def _cpus() -> int:
    """Return the number of CPUs that this process may use."""
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
