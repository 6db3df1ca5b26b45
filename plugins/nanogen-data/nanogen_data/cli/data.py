"""Command `nanogen data`, with `stats` and `prepare`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nanogen_core.cli.options import BATCH, COUNT, overrides
from nanogen_data.cli.prepare import prepare

if TYPE_CHECKING:
    from nanogen_core.tensors import Batch

STATISTICS = "statistics"  # provided by tokenizers that normalise latents by measured statistics


@click.group()
def data() -> None:
    """Compute latent statistics of the training data, or precompute its latents and text encodings."""


data.add_command(prepare)


@data.command()
@click.argument("config")
@click.option("--output", type=click.Path(path_type=Path), required=True, help="Safetensors file to write.")
@click.option("--limit", type=COUNT, help="Maximum number of images; default: the whole split.")
@click.option("--batch-size", type=BATCH, default=64, show_default=True, help="Images per batch.")
@overrides
def stats(config: str, output: Path, limit: int | None, batch_size: int, settings: tuple[str, ...]) -> None:
    """Compute the mean and variance of the latents of CONFIG's tokenizer over the training images."""
    from nanogen_core.cli.options import resolved
    from nanogen_core.errors import ConfigError, listing
    from nanogen_core.registry import registry

    configuration = resolved(config, settings)
    tokenizer = configuration.slots["tokenizer"]
    if STATISTICS not in tokenizer.chosen.component.provides:
        able = listing(registry().providing("tokenizer", [STATISTICS]))
        raise ConfigError(f"The tokenizer {tokenizer.name!r} uses no latent statistics. Tokenizers that do: {able}.")
    from nanogen_core.assembly import Assembly
    from nanogen_files.errors import counted

    parts = Assembly(configuration)
    batches = _limited(parts["task"].iter_once("train", batch_size), limit)
    count = parts["tokenizer"].compute_statistics(batches, output)
    click.echo(f"Wrote the statistics of {counted(count, 'image')} to {output}.")


def _limited(batches: Iterator[Batch], limit: int | None) -> Iterator[Batch]:
    """Yield the first `limit` examples of the batches."""
    count = 0
    for batch in batches:
        remaining = None if limit is None else limit - count
        if remaining is not None and remaining <= 0:
            return
        yield batch if remaining is None else batch.part(0, remaining)
        count += len(batch.indices)
