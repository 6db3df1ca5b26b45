"""The original tool's images: one file a prompt, in which up to four pictures make a square of two by two.

`python -m nanogen_textscore.dpg.grids join IMAGES GRIDS` makes them of kept samples, `split GRIDS IMAGES` takes them
apart for `nanogen evaluate`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from nanogen_core.errors import DataError, NanoGenError
from nanogen_data.pictures import read_image

TILES = 4
Tile = tuple[int, int, int, int]  # left, top, right, bottom


def tiles(resolution: int, count: int = TILES) -> list[Tile]:
    """The first `count` tiles of `resolution` pixels, row by row. Raises NanoGenError for more than four or none."""
    if not 1 <= count <= TILES:
        raise NanoGenError(f"A grid of DPG-Bench has one to {TILES} pictures, not {count}: set `images_per_prompt`.")
    corners = [(column * resolution, row * resolution) for row in (0, 1) for column in (0, 1)]
    return [(left, top, left + resolution, top + resolution) for left, top in corners[:count]]


def joined(pictures: Sequence[Image.Image]) -> Image.Image:
    """Up to four square pictures of one size as one; what is missing stays black. Raises NanoGenError for others."""
    resolution = pictures[0].width
    if any(picture.size != (resolution, resolution) for picture in pictures):
        raise NanoGenError("Pictures that are not squares of one size make no grid: sample them at one image size.")
    grid = Image.new("RGB", (2 * resolution, 2 * resolution))
    for tile, picture in zip(tiles(resolution, len(pictures)), pictures, strict=True):
        grid.paste(picture, tile[:2])
    return grid


def separated(grid: Image.Image, count: int = TILES) -> list[Image.Image]:
    """The first `count` pictures of a grid."""
    return [grid.crop(tile) for tile in tiles(grid.width // 2, count)]


def picture_file(folder: Path, item: str, number: int) -> Path:
    """Where picture `number` of a prompt with several lies, before they are joined."""
    return folder / item / f"{number:05d}.png"


def join(source: Path, target: Path) -> None:
    """`<target>/<item>.png` of the pictures in each folder `<source>/<item>`. Raises DataError where there is none."""
    folders = [folder for folder in sorted(source.iterdir()) if folder.is_dir()]
    if not folders:
        raise DataError(f"{source} has no folders with the pictures of a prompt each: name one that was kept.")
    target.mkdir(parents=True, exist_ok=True)
    for folder in folders:
        joined([_read(file) for file in sorted(folder.glob("*.png"))]).save(target / f"{folder.name}.png")


def split(source: Path, target: Path) -> None:
    """The other way round. Raises DataError where there is no grid."""
    files = sorted(source.glob("*.png"))
    if not files:
        raise DataError(f"{source} has no grids <item_id>.png: name a folder of the original tool.")
    for file in files:
        for number, picture in enumerate(separated(_read(file))):
            place = picture_file(target, file.stem, number)
            place.parent.mkdir(parents=True, exist_ok=True)
            picture.save(place)


def main(arguments: list[str] | None = None) -> int:
    """0, or 1 where a folder is not as it should be."""
    parser = argparse.ArgumentParser(prog="python -m nanogen_textscore.dpg.grids", description=__doc__)
    parser.add_argument("action", choices=["join", "split"])
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    chosen = parser.parse_args(arguments)
    try:
        {"join": join, "split": split}[chosen.action](chosen.source, chosen.target)
    except (NanoGenError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _read(file: Path) -> Image.Image:
    return read_image(file)


if __name__ == "__main__":
    sys.exit(main())
