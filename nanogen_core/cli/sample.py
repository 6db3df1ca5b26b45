"""`nanogen sample`: generates images with a saved pipeline."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

import click

from nanogen_core.cli.options import FEW, SCALE, SEED, STEPS, SavedPipeline, override_layer, overrides
from nanogen_files.errors import DataError, counted

SHEET = "grid.png"


@click.command()
@click.argument("folder", type=SavedPipeline())
@click.option(
    "--label",
    "--prompt",
    "requests",
    multiple=True,
    required=True,
    help="Class name, class number or caption; repeatable.",
)
@click.option("--count", type=FEW, default=1, show_default=True, help="Images per request.")
@click.option("--seed", type=SEED, default=0, show_default=True)
@click.option("--steps", type=STEPS, help="Sampling steps. [default: as configured]")
@click.option("--guidance", type=SCALE, help="Guidance scale, 1 for none. [default: as configured]")
@click.option("--output", type=click.Path(path_type=Path), help="Folder for the images. [default: FOLDER/generated]")
@click.option("--watch", is_flag=True, help="Show the first image while it forms (needs nanogen-app).")
@overrides
def sample(
    folder: Path,
    requests: tuple[str, ...],
    count: int,
    seed: int,
    steps: int | None,
    guidance: float | None,
    output: Path | None,
    watch: bool,
    settings: tuple[str, ...],
) -> None:
    """Generate images with the pipeline in FOLDER or at hf://user/name, from class names or numbers, or from captions.

    Existing files are never overwritten. --set changes the sampler and the guidance:
    --set sampler=heun --set sampler.steps=20 --set guidance.cfg.scale=4
    """
    from nanogen_core.pipeline import Pipeline, offered
    from nanogen_files.hub import output_folder
    from nanogen_files.images import grid, write_new_png
    from nanogen_files.interruption import on_interrupt

    output = output or output_folder(folder) / "generated"
    repeated = [request for request in requests for _ in range(count)]
    names = [f"{index:05d}-{_slug(request)}.png" for index, request in enumerate(repeated)]
    _refuse_present(output, [*names, SHEET])
    with on_interrupt("Stopped. No image was written: run the same command again."):
        pipeline = Pipeline.load(folder).reconfigured(override_layer(settings))
        pipeline = offered("nanogen_app:watched")(pipeline) if watch else pipeline
        pictures = pipeline.generate(repeated, seed=seed, steps=steps, guidance=guidance)
    assert isinstance(pictures, list)
    for name, picture in zip(names, pictures, strict=True):
        write_new_png(output / name, picture)
    write_new_png(output / SHEET, grid(pictures, repeated, columns=count if count > 1 else 8))
    click.echo(f"{counted(len(pictures), 'picture')} and {SHEET} are in {output}.")


def _refuse_present(output: Path, names: Sequence[str]) -> None:
    """Raise DataError if one of the files exists."""
    if present := [name for name in names if os.path.lexists(output / name)]:
        others = f" and {counted(len(present) - 1, 'more file')}" if len(present) > 1 else ""
        raise DataError(f"{output / present[0]}{others} would be overwritten: choose another --output.")


def _slug(text: str) -> str:
    """Convert a text to a file name of at most 48 characters a-z, 0-9 and hyphen."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:48] or "sample"
