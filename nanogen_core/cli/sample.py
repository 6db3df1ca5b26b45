"""`nanogen sample`."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nanogen_core.cli.options import FEW, SCALE, SEED, STEPS

if TYPE_CHECKING:
    from PIL import Image

SHEET = "grid.png"


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--label", "--prompt", "requests", multiple=True, required=True, help="What to draw; repeatable.")
@click.option("--count", type=FEW, default=1, show_default=True, help="Pictures of each request.")
@click.option("--seed", type=SEED, default=0, show_default=True)
@click.option("--steps", type=STEPS, help="Sampling steps; by default as configured.")
@click.option("--guidance", type=SCALE, help="Guidance scale, 1 for none; by default as configured.")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="Folder for the pictures; by default FOLDER/generated. Files that are there are never replaced.",
)
def sample(
    folder: Path,
    requests: tuple[str, ...],
    count: int,
    seed: int,
    steps: int | None,
    guidance: float | None,
    output: Path | None,
) -> None:
    """Draw pictures with the pipeline in FOLDER: class names or numbers for one task, captions for the other."""
    from nanogen_core.pipeline import Pipeline
    from nanogen_files.images import grid

    output = output or folder / "generated"
    asked = [request for request in requests for _ in range(count)]
    names = [f"{index:05d}-{_slug(request)}.png" for index, request in enumerate(asked)]
    _refuse_present(output, [*names, SHEET])
    pictures = Pipeline.load(folder).generate(asked, seed=seed, steps=steps, guidance=guidance)
    assert isinstance(pictures, list)
    for name, picture in zip(names, pictures, strict=True):
        _write(output / name, picture)
    _write(output / SHEET, grid(pictures, asked, columns=count if count > 1 else 8))
    click.echo(f"{len(pictures)} pictures and {SHEET} are in {output}.")


def _refuse_present(output: Path, names: Sequence[str]) -> None:
    """Raises DataError where one of these files is there already."""
    from nanogen_core.errors import DataError

    present = [name for name in names if os.path.lexists(output / name)]
    if present:
        others = f" and {len(present) - 1} more of the files to be written" if len(present) > 1 else ""
        raise DataError(f"{output / present[0]}{others} would be overwritten: choose another --output.")


def _write(path: Path, picture: Image.Image) -> None:
    """Writes a new PNG file, whole or not at all. Raises DataError where there is one already, or no room."""
    from nanogen_core.errors import DataError

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("xb")
    except OSError as error:
        raise DataError(f"{path} cannot be written ({error.strerror}): choose another --output.") from error
    try:
        with file:
            picture.save(file, format="PNG")
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise DataError(f"{path} cannot be written ({error.strerror or error}): make room.") from error
        raise


def _slug(text: str) -> str:
    """A file name of at most 48 harmless characters."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:48] or "sample"
