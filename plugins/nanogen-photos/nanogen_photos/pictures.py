"""Reads the installed cut-outs of tuxpaint-stamps-default and photographs of mate-backgrounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from attrs import frozen
from PIL import Image

from nanogen_core.errors import DataError
from nanogen_photos.config import PhotosConfig, stamp_table

INSTALL = "apt-get install --no-install-recommends tuxpaint-stamps-default mate-backgrounds"
REINSTALL = f"run `{INSTALL} --reinstall`"
SHORTEST = 768  # the short side of a cached photograph in pixels


@frozen
class Pictures:
    """The files that scenes are composed of.

    Attributes:
        stamps: The cut-outs of each class, in the order of the labels.
        backgrounds: The photographs behind them.
    """

    stamps: Mapping[str, Sequence[Path]]
    backgrounds: Sequence[Path]

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names, in the order of the labels."""
        return tuple(self.stamps)

    def files(self) -> list[Path]:
        """Return all files, in a fixed order."""
        return [*(file for members in self.stamps.values() for file in members), *self.backgrounds]


def find_pictures(config: PhotosConfig) -> Pictures:
    """Find the files of a dataset. If one is missing, raises DataError, which names the command that installs it."""
    root, behind = Path(config.stamps).expanduser(), Path(config.backgrounds).expanduser()
    stamps = {name: [root / f"{stamp}.png" for stamp in stamp_table()[name]] for name in config.names}
    for file in (file for members in stamps.values() for file in members):
        if not file.is_file():
            raise DataError(
                f"The dataset photos has no stamp {file}. Run `{INSTALL}`, or set `dataset.stamps` to the folder of"
                " tuxpaint-stamps-default."
            )
    backgrounds = sorted(behind.glob("*.jpg"))
    if not backgrounds:
        raise DataError(
            f"The dataset photos has no photographs (.jpg) in {behind}. Run `{INSTALL}`, or set `dataset.backgrounds`"
            " to a folder of photographs."
        )
    return Pictures(stamps, backgrounds)


@lru_cache(maxsize=512)
def cut_out(file: Path) -> Image.Image:
    """Read a stamp as RGBA, cropped to its visible part. Raises DataError for a damaged or empty image."""
    image = _opened(file).convert("RGBA")
    box = image.getchannel("A").getbbox()
    if box is None:
        raise DataError(f"The stamp {file} is fully transparent. Replace it, or {REINSTALL}.")
    return image.crop(box)


@lru_cache(maxsize=128)
def photograph(file: Path) -> Image.Image:
    """Read a photograph as RGB, with a short side of at most 768 pixels. Raises DataError for a damaged image."""
    image = _opened(file).convert("RGB")
    scale = SHORTEST / min(image.size)
    if scale >= 1:
        return image
    return image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)


def _opened(file: Path) -> Image.Image:
    try:
        image = Image.open(file)
        image.load()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:  # what Pillow's decoders raise
        raise DataError(f"The image {file} cannot be read ({error}). Replace it, or {REINSTALL}.") from error
    return image
