"""`nanogen data prepare`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import click

from nanogen_core.cli.options import BATCH, WORKERS, overrides


@click.command()
@click.argument("source")
@click.argument("destination", type=click.Path(path_type=Path, file_okay=False))
@click.option("--config", required=True, help="What is to be trained: a YAML file or a recipe's name.")
@click.option("--workers", type=WORKERS, help="Processes; by default one for each CPU.")
@click.option("--shard-size", type=BATCH, default=1000, show_default=True, help="Examples in a shard.")
@click.option("--batch-size", type=BATCH, default=32, show_default=True, help="Encoded at once.")
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
    """Encode the training images and captions of SOURCE once, for `train.precomputed_latents` to read from DESTINATION.

    SOURCE is a folder of class folders, a Hugging Face dataset on disk, a folder or pattern of webdataset tars, or the
    name of a dataset. Stopped at any moment and called again, it goes on.
    """
    from nanogen_core.cli.options import override_layer
    from nanogen_core.config import combine
    from nanogen_data.precomputed.sources import with_source

    resolved = with_source(combine(config, override_layer(settings)), source)
    from nanogen_data.precomputed.prepare import Options, prepare  # torch, once the names are known to be right

    options = Options(shard_size=shard_size, batch_size=batch_size, dtype=dtype, workers=workers or _cpus())
    found = prepare(resolved, destination, options, _report())
    size = sum(shard["bytes"] for shard in found.shards) / 1e6
    skipped = sum(found.skipped.values())
    click.echo(f"Prepared {found.examples - skipped} of {found.examples} examples in {len(found.shards)} shards.")
    for reason, count in found.skipped.items():
        click.echo(f"Skipped {count}: {reason}.")
    click.echo(f"{size:.1f} MB are in {destination}. Train on them by --set train.precomputed_latents={destination}.")


def _cpus() -> int:
    """Those that this process may use, where the system says so."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _report() -> Callable[[int, int], None]:
    """Says how far it is, at most once for each tenth."""
    said = 0

    def report(done: int, total: int) -> None:
        nonlocal said
        if 10 * done // total > said:
            said = 10 * done // total
            click.echo(f"{done} of {total} examples", err=True)

    return report
