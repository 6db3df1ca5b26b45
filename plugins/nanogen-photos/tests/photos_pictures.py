"""Files in the layout of tuxpaint-stamps-default and mate-backgrounds, drawn by the tests."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from nanogen_photos.config import PhotosConfig, stamp_table

CLASSES = ("apple", "dog", "bird")
HUES = {"apple": (250, 10, 10), "dog": (10, 250, 10), "bird": (10, 10, 250)}


def write_pictures(folder: Path, names=CLASSES) -> PhotosConfig:
    """Write plain ellipses with transparent margins as stamps, and two grey photographs. Returns their options."""
    for name in names:
        for number, stamp in enumerate(stamp_table()[name]):
            image = Image.new("RGBA", (60 + number, 50))
            ImageDraw.Draw(image).ellipse((10, 10, 50, 40), fill=(*HUES.get(name, (200, 200, 10)), 255))
            file = folder / "stamps" / f"{stamp}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            image.save(file)
    (folder / "behind").mkdir()
    for number in range(2):
        noise = np.random.default_rng(number).integers(100, 140, (90, 120, 1), dtype=np.uint8).repeat(3, axis=2)
        Image.fromarray(noise).save(folder / "behind" / f"{number}.jpg")
    return PhotosConfig(
        train=30, val=12, classes=tuple(names), stamps=str(folder / "stamps"), backgrounds=str(folder / "behind")
    )
