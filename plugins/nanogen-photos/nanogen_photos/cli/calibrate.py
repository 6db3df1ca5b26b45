"""`nanogen photos calibrate`: scores of real scenes, the reference for scores of samples."""

from __future__ import annotations

import click

from nanogen_photos.cli.options import COUNT, SIZE, dataset_options, detector_option


@click.command()
@click.option("--size", "sizes", type=SIZE, multiple=True, help="Image size; repeatable. Default: 64.")
@click.option("--count", type=COUNT, default=20, show_default=True, help="Scenes of each class.")
@click.option("--per-tag", type=COUNT, default=22, show_default=True, help="Maximum number of prompts of each tag.")
@dataset_options
@detector_option
def calibrate(
    sizes: tuple[int, ...], count: int, per_tag: int, stamps: str, backgrounds: str, weights: str | None
) -> None:
    """Print the detector's recall for each class and GenEval's scores, both for real scenes."""
    from nanogen_photos.calibration import geneval, recalls
    from nanogen_photos.config import PhotosConfig
    from nanogen_photos.dataset import Photos

    data = Photos(PhotosConfig(val=count * 10_000, stamps=stamps, backgrounds=backgrounds))
    detector = {"name": "nanodet", "weights": weights}
    columns = [
        {**recalls(data, size, count, detector), **geneval(data, size, per_tag, detector)} for size in sizes or (64,)
    ]
    click.echo(f"{'':24}" + "".join(f"{size:>6} px" for size in sizes or (64,)))
    for name in columns[0]:
        click.echo(f"{name:24}" + "".join(f"{column[name]:9.3f}" for column in columns))
