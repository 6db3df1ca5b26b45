"""The original tool's images: one file a prompt, in which up to four pictures make a square of two by two."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image

from nanogen_core.data import decode_image
from nanogen_core.errors import DataError, NanoGenError

TILES = 4
Tile = tuple[int, int, int, int]  # left, top, right, bottom


def tiles(resolution: int, count: int = TILES) -> list[Tile]:
    """The first `count` tiles of `resolution` pixels, row by row. Raises NanoGenError for more than four or none."""
    if not 1 <= count <= TILES:
        raise NanoGenError(f"A grid of DPG-Bench has one to {TILES} pictures, not {count}: set `images_per_prompt`.")
    corners = [(column * resolution, row * resolution) for row in (0, 1) for column in (0, 1)]
    return [(left, top, left + resolution, top + resolution) for left, top in corners[:count]]


def write_grid(folder: Path, item: str, pictures: Sequence[Image.Image]) -> Path:
    """`<item>.png` of up to four square pictures of one size; one alone stands there as it is."""
    resolution = pictures[0].width
    if any(picture.size != (resolution, resolution) for picture in pictures):
        raise NanoGenError(f"The pictures of {item!r} are not squares of one size, so that they make no grid.")
    side = resolution if len(pictures) == 1 else 2 * resolution
    grid = Image.new("RGB", (side, side))
    for tile, picture in zip(tiles(resolution, len(pictures)), pictures, strict=True):
        grid.paste(picture, tile[:2])
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{item}.png"
    grid.save(file)
    return file


def read_grid(folder: Path, item: str, count: int) -> Iterator[Image.Image]:
    """The `count` pictures of an item, as RGB. Raises DataError where the file is missing or damaged."""
    file = folder / f"{item}.png"
    if not file.is_file():
        raise DataError(f"There is no {file}: name a folder with one picture `<item_id>.png` for each prompt.")
    grid = decode_image(file.read_bytes(), str(file))
    resolution = grid.width if count == 1 else grid.width // 2
    yield from (grid.crop(tile) for tile in tiles(resolution, count))
