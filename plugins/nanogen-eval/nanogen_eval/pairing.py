"""Which original an image is compared with: that of the same name, or where there are no names that of its place."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from os.path import splitext

from nanogen_core.errors import DataError, near_miss
from nanogen_data.notes import warn_once
from nanogen_eval.sources import Source

log = logging.getLogger(__name__)


def pairs(images: Source, originals: Source, who: str) -> list[int]:
    """The row of the original of each image.

    Files of two folders are paired by their names, suffixes aside where that is clear. Else the images are paired in
    their order, and must be as many as the originals. Raises DataError, which begins with `who`, where an image has no
    original.
    """
    ours, theirs = getattr(images, "names", None), getattr(originals, "names", None)
    if ours is not None and theirs is not None:
        return _by_name(ours, theirs, who)
    here, there = total(images), total(originals)
    if here != there:
        raise DataError(
            f"{who} compares {here} images with {there} originals, which have no names to pair them by: give as many "
            f"of both, in one order, or two folders with equal names."
        )
    return list(range(len(images.questions.indices)))


def total(source: Source) -> int:
    """The images of a source, those too that are not asked for."""
    return int(getattr(source, "total", len(source.questions.indices)))


def _by_name(ours: Sequence[str], theirs: Sequence[str], who: str) -> list[int]:
    mine, known = _keys(ours, theirs)
    rows = {key: row for row, key in enumerate(known)}
    lacking = [name for name, key in zip(ours, mine, strict=True) if key not in rows]
    if lacking:
        raise DataError(
            f"{who} compares each image with the original of the same name, and {lacking[0]!r} has none "
            f"({len(lacking)} of {len(ours)} images).{near_miss(lacking[0], theirs)} Name images as their originals."
        )
    asked = set(mine)
    unused = [name for name, key in zip(theirs, known, strict=True) if key not in asked]
    if unused:
        warn_once(log, f"{who}: {len(unused)} of {len(theirs)} originals have no image, such as {unused[0]!r}.")
    return [rows[key] for key in mine]


def _keys(ours: Sequence[str], theirs: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """Names without suffixes: an image may be stored in another format than its original. With them, where two files of
    one folder differ in these alone."""
    plain = [[splitext(name)[0] for name in names] for names in (ours, theirs)]
    clear = all(len(set(names)) == len(names) for names in plain)
    return (plain[0], plain[1]) if clear else (ours, theirs)
