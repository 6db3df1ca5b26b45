"""`nanogen import`."""

from __future__ import annotations

from pathlib import Path

import click

from nanogen_core.cli.options import overrides


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--config", help="The configuration that it was trained with: a YAML file or a recipe's name.")
@click.option("--architecture", type=click.Path(path_type=Path), help="JSON; by default the file's name with .json.")
@click.option("--weights", type=click.Choice(["ema", "model"]), default="ema", show_default=True)
@click.option("--output", type=click.Path(path_type=Path), help="By default imported/ and the file's name.")
@overrides
def import_(
    file: Path,
    config: str | None,
    architecture: Path | None,
    weights: str,
    output: Path | None,
    settings: tuple[str, ...],
) -> None:
    """Make a saved pipeline of the published checkpoint FILE (safetensors, or torch.save without code in it)."""
    from nanogen_core import storage
    from nanogen_core.cli.options import override_layer
    from nanogen_core.config import combine
    from nanogen_core.importing import import_checkpoint

    beside = file.with_suffix(".json")
    described = storage.read_json(architecture or beside) if architecture or beside.is_file() else None
    layers = combine(config, override_layer(settings))
    pipeline = import_checkpoint(file, layers, architecture=described, weights=weights)
    folder = pipeline.save(output or Path("imported") / file.stem)
    parameters = sum(tensor.numel() for tensor in pipeline.backbone.parameters())
    click.echo(f"Imported {parameters:,} parameters ({weights} weights): the pipeline is in {folder}.")
