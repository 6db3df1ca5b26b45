"""`nanogen photos distances`: distances of real and of altered scenes, the reference for distances of samples."""

from __future__ import annotations

import click

from nanogen_photos.cli.options import COUNT, SIZE, dataset_options


@click.command()
@click.option("--size", type=SIZE, default=64, show_default=True, help="Image size in pixels.")
@click.option("--count", type=COUNT, default=256, show_default=True, help="Scenes of each set.")
@click.option(
    "--features",
    "spaces",
    multiple=True,
    default=("efficientnet-lite0", "mobilenet-v2"),
    show_default=True,
    help="Feature space; repeatable.",
)
@dataset_options
def distances(size: int, count: int, spaces: tuple[str, ...], stamps: str, backgrounds: str) -> None:
    """Print the Fréchet and kernel Inception distances of sets of scenes to COUNT real scenes.

    The sets are other real scenes, the same scenes blurred, and real scenes of one class.
    """
    from nanogen_photos import calibration
    from nanogen_photos.config import PhotosConfig
    from nanogen_photos.dataset import Photos

    data = Photos(PhotosConfig(val=count * 100, stamps=stamps, backgrounds=backgrounds))
    click.echo(f"{'':24}{'set':12}{'frechet':>10}{'kid':>10}")
    for space in spaces:
        for name, (frechet, kid) in calibration.distances(data, size, count, space).items():
            click.echo(f"{space:24}{name:12}{frechet:10.3f}{kid:10.4f}")
