"""`nanogen data stats`, and the group that `nanogen data prepare` belongs to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nanogen_core.cli.options import BATCH, COUNT, overrides
from nanogen_data.cli.prepare import prepare

if TYPE_CHECKING:
    from nanogen_core.tensors import Batch

WORD = "statistics"  # what a tokenizer provides that standardises its latents by measured statistics


@click.group()
def data() -> None:
    """Measure training data, or encode them once."""


data.add_command(prepare)


@data.command()
@click.argument("config")
@click.option("--output", type=click.Path(path_type=Path), required=True, help="The safetensors file to write.")
@click.option("--limit", type=COUNT, help="At most so many images; by default the whole split.")
@click.option("--batch-size", type=BATCH, default=64, show_default=True)
@overrides
def stats(config: str, output: Path, limit: int | None, batch_size: int, settings: tuple[str, ...]) -> None:
    """Write the mean and variance of the latents of CONFIG's tokenizer over its training images."""
    from nanogen_core.cli.options import resolved
    from nanogen_core.errors import ConfigError, listing
    from nanogen_core.registry import registry

    configuration = resolved(config, settings)
    tokenizer = configuration.slots["tokenizer"]
    if WORD not in tokenizer.chosen.component.provides:
        able = listing(registry().providing("tokenizer", [WORD]))
        raise ConfigError(f"The tokenizer {tokenizer.name!r} needs no statistics; those that do: {able}.")
    from nanogen_core.assembly import Assembly

    parts = Assembly(configuration)
    batches = _limited(parts["task"].iter_once("train", batch_size), limit)
    count = parts["tokenizer"].compute_statistics(batches, output)
    click.echo(f"The statistics of {count} images are in {output}.")


def _limited(batches: Iterator[Batch], limit: int | None) -> Iterator[Batch]:
    """The first `limit` examples of the batches."""
    seen = 0
    for batch in batches:
        left = None if limit is None else limit - seen
        if left is not None and left <= 0:
            return
        yield batch if left is None else batch.part(0, left)
        seen += len(batch.indices)
