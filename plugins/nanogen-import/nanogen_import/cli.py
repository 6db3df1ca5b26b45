"""`nanogen import`."""

from __future__ import annotations

from pathlib import Path

import click

from nanogen_core.cli.options import overrides
from nanogen_core.errors import DataError


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--config", type=click.Path(path_type=Path), help="YAML: the checkpoint's published configuration, or one of ours."
)
@click.option("--recipe", metavar="NAME", help="The recipe that it was trained with; `nanogen recipes` lists them.")
@click.option("--architecture", type=click.Path(path_type=Path), help="JSON; by default the file's name with .json.")
@click.option("--weights", type=click.Choice(["ema", "model"]), default="ema", show_default=True)
@click.option("--output", type=click.Path(path_type=Path), help="By default imported/ and the file's name.")
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
    """Make a saved pipeline of the published checkpoint FILE (safetensors, or torch.save without code in it).

    What the tensors of FILE do not decide (tokenizer, prediction, shift, guidance) comes from --config, --recipe or
    --set. Every decision is printed with its source.
    """
    from nanogen_core.cli.options import override_layer
    from nanogen_files import storage
    from nanogen_import import import_file

    folder = output or Path("imported") / file.stem
    if folder.is_dir() and any(folder.iterdir()):
        raise DataError(f"{folder} holds files already: name another folder with --output.")
    beside = file.with_suffix(".json")
    described = storage.read_json(architecture or beside) if architecture or beside.is_file() else None
    imported = import_file(
        file,
        config,
        recipe=recipe,
        settings=override_layer(settings),
        architecture=described,
        weights=weights,
    )
    imported.pipeline.save(folder)
    for decision in imported.decisions:
        click.echo(str(decision))
    parameters = sum(tensor.numel() for tensor in imported.pipeline.backbone.parameters())
    click.echo(f"Imported {parameters:,} parameters: the pipeline is in {folder}.")
