"""Image grids of the original DPG-Bench tool. A grid is one file with up to four images of a prompt.

`python -m nanogen_textscore.dpg.grids join IMAGES GRIDS` makes grids of saved samples. `split GRIDS IMAGES` splits
grids for `nanogen evaluate`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from nanogen_core.errors import DataError, NanoGenError
from nanogen_data.pictures import is_hidden, read_image

TILES = 4
Tile = tuple[int, int, int, int]  # left, top, right, bottom


def tiles(resolution: int, count: int = TILES) -> list[Tile]:
    """Return the boxes of the first `count` cells of a 2 x 2 grid, in row-major order.

    Each cell has `resolution` x `resolution` pixels. Raises NanoGenError unless `count` is from 1 to 4.
    """
    if not 1 <= count <= TILES:
        raise NanoGenError(
            f"A grid of DPG-Bench has 1 to {TILES} images, got {count}. Set `images_per_prompt` to at most {TILES}."
        )
    corners = [(column * resolution, row * resolution) for row in (0, 1) for column in (0, 1)]
    return [(left, top, left + resolution, top + resolution) for left, top in corners[:count]]


def join_images(images: Sequence[Image.Image]) -> Image.Image:
    """Join up to four square images of one size into a grid. Missing images are black.

    Raises NanoGenError for no images, more than four, images that are not square, or different sizes.
    """
    resolution = images[0].width if images else 0
    boxes = tiles(resolution, len(images))
    if any(image.size != (resolution, resolution) for image in images):
        raise NanoGenError("The images of a grid are not squares of one size. Sample all images at one square size.")
    grid = Image.new("RGB", (2 * resolution, 2 * resolution))
    for tile, image in zip(boxes, images, strict=True):
        grid.paste(image, tile[:2])
    return grid


def split_grid(grid: Image.Image, count: int = TILES) -> list[Image.Image]:
    """Return the first `count` images of a grid."""
    return [grid.crop(tile) for tile in tiles(grid.width // 2, count)]


def image_file(folder: Path, item: str, number: int) -> Path:
    """Return the file of one image of a prompt, outside a grid: `<folder>/<item>/00000.png` for the number 0."""
    return folder / item / f"{number:05d}.png"


def join(source: Path, target: Path) -> None:
    """Write a grid `<target>/<item>.png` for each folder of images `<source>/<item>`.

    Raises DataError, before it writes, if there are no folders or a folder has no PNG. Hidden folders are left out.
    """
    folders = [entry for entry in sorted(source.iterdir()) if entry.is_dir() and not is_hidden(entry.name)]
    if not folders:
        raise DataError(f"{source} has no folders of images. Give the folder that `--keep-images` wrote.")
    files = {folder: sorted(folder.glob("*.png")) for folder in folders}
    empty = [folder for folder, images in files.items() if not images]
    if empty:
        raise DataError(f"{empty[0]} has no PNG images. Evaluate again to the end, or remove the folder.")
    target.mkdir(parents=True, exist_ok=True)
    for folder, images in files.items():
        join_images([read_image(file) for file in images]).save(target / f"{folder.name}.png")


def split(source: Path, target: Path) -> None:
    """Write the images `<target>/<item>/00000.png` and so on for each grid `<source>/<item>.png`.

    Raises DataError if there are no grids.
    """
    files = sorted(source.glob("*.png"))
    if not files:
        raise DataError(f"{source} has no grids <item_id>.png. Give the image folder of the original tool.")
    for file in files:
        for number, image in enumerate(split_grid(read_image(file))):
            path = image_file(target, file.stem, number)
            path.parent.mkdir(parents=True, exist_ok=True)
            image.save(path)


def main(arguments: list[str] | None = None) -> int:
    """Run the command. Returns 0, or 1 for an error."""
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


if __name__ == "__main__":
    sys.exit(main())
