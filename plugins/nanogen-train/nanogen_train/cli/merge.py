"""Command `nanogen merge`."""

from __future__ import annotations

from pathlib import Path

import click

from nanogen_core.cli.options import SavedPipeline


@click.command()
@click.argument("run", type=SavedPipeline())
@click.option("--output", type=click.Path(path_type=Path), required=True, help="Folder of the merged pipeline.")
def merge(run: Path, output: Path) -> None:
    """Merge the adapter of RUN into its weights and save a pipeline that needs no peft."""
    from nanogen_train.adapters.merge import merge_run

    click.echo(f"The merged pipeline is in {merge_run(run, output)}.")
