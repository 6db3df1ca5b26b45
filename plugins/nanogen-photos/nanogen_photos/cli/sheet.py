"""`nanogen photos sheet`: a sheet of real scenes."""

from __future__ import annotations

from pathlib import Path

import click

from nanogen_photos.cli.options import COUNT, SIZE, dataset_options, detector_option


@click.command()
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--view", type=click.Choice(["labels", "captions"]), default="labels", show_default=True)
@click.option("--size", type=SIZE, default=192, show_default=True, help="Image size in pixels.")
@click.option("--count", type=COUNT, default=44, show_default=True, help="Number of scenes.")
@click.option("--detections", is_flag=True, help="Draw the detections on the scenes.")
@dataset_options
@detector_option
def sheet(
    output: Path,
    view: str,
    size: int,
    count: int,
    detections: bool,
    stamps: str,
    backgrounds: str,
    weights: str | None,
) -> None:
    """Write held-out scenes with their labels or captions to the image file OUTPUT."""
    import torch

    from nanogen_files.images import grid, to_pil
    from nanogen_photos.config import NanoDetConfig, PhotosConfig
    from nanogen_photos.dataset import Photos
    from nanogen_photos.detector import NanoDetector, drawn
    from nanogen_photos.scenes import render

    data = Photos(PhotosConfig(val=count, stamps=stamps, backgrounds=backgrounds))
    examples = data.open("val", size, view)
    scenes = [examples.scene(number) for number in range(count)]
    images = to_pil(torch.stack([render(scene, size, data.pictures) for scene in scenes]))
    if detections:
        detector = NanoDetector(NanoDetConfig(weights=weights))
        images = [drawn(image, detector.detect(image, 0.3)) for image in images]
    texts = [scene.cutouts[0].name if view == "labels" else scene.line["prompt"] for scene in scenes]
    grid(images, texts, columns=8, tile=192).save(output)
    click.echo(output)
