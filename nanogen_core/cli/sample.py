"""`nanogen sample`."""

from __future__ import annotations

import re
from pathlib import Path

import click

from nanogen_core.cli.options import FEW, SCALE, SEED, STEPS


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--label", "--prompt", "requests", multiple=True, required=True, help="What to draw; repeatable.")
@click.option("--count", type=FEW, default=1, show_default=True, help="Pictures of each request.")
@click.option("--seed", type=SEED, default=0, show_default=True)
@click.option("--steps", type=STEPS, help="Sampling steps; by default as configured.")
@click.option("--guidance", type=SCALE, help="Guidance scale, 1 for none; by default as configured.")
@click.option("--output", type=click.Path(path_type=Path), help="Folder for the pictures; by default FOLDER/generated.")
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
    from nanogen_core.images import grid
    from nanogen_core.pipeline import Pipeline

    pipeline = Pipeline.load(folder)
    asked = [request for request in requests for _ in range(count)]
    pictures = pipeline.generate(asked, seed=seed, steps=steps, guidance=guidance)
    assert isinstance(pictures, list)
    output = output or folder / "generated"
    output.mkdir(parents=True, exist_ok=True)
    for index, (request, picture) in enumerate(zip(asked, pictures, strict=True)):
        picture.save(output / f"{index:05d}-{_slug(request)}.png")
    grid(pictures, asked, columns=count if count > 1 else 8).save(output / "grid.png")
    click.echo(f"{len(pictures)} pictures and grid.png are in {output}.")


def _slug(text: str) -> str:
    """A file name of at most 48 harmless characters."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:48] or "sample"
