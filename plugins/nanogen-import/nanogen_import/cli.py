"""The command `nanogen import`."""

from __future__ import annotations

from pathlib import Path

import click

from nanogen_core.cli.options import overrides
from nanogen_core.errors import DataError


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="YAML file: the published configuration of the checkpoint, or one of NanoGen.",
)
@click.option("--recipe", metavar="NAME", help="Recipe of the training; `nanogen recipes` lists all.")
@click.option(
    "--architecture",
    type=click.Path(path_type=Path),
    help="JSON file that describes the network; by default FILE with the suffix .json.",
)
@click.option(
    "--weights", type=click.Choice(["ema", "model"]), default="ema", show_default=True, help="Set of weights to import."
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="Output folder; by default imported/NAME, where NAME is the name of FILE without its suffix.",
)
@overrides
def import_(
    file: Path,
    config: Path | None,
    recipe: str | None,
    architecture: Path | None,
    weights: str,
    output: Path | None,
    settings: tuple[str, ...],
) -> None:
    """Convert the published checkpoint FILE into a saved pipeline.

    FILE is a safetensors file, or a file of torch.save without Python objects. Its tensors do not determine the
    tokenizer, prediction, time shift and guidance: give these by --config, --recipe or --set. The command prints every
    decision with its source.
    """
    from nanogen_core.cli.options import override_layer
    from nanogen_files import storage
    from nanogen_import import import_file

    folder = output or Path("imported") / file.stem
    if folder.is_dir() and any(folder.iterdir()):
        raise DataError(f"{folder} is not empty: choose another folder with --output.")
    default = file.with_suffix(".json")
    description = storage.read_json(architecture or default) if architecture or default.is_file() else None
    imported = import_file(
        file,
        config,
        recipe=recipe,
        settings=override_layer(settings),
        architecture=description,
        weights=weights,
    )
    imported.pipeline.save(folder)
    for decision in imported.decisions:
        click.echo(str(decision))
    parameters = sum(tensor.numel() for tensor in imported.pipeline.backbone.parameters())
    click.echo(f"Imported {parameters:,} parameters into the pipeline {folder}.")
