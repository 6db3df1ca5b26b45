"""Pairing of images with reference images, by name or by order."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from os.path import splitext

from nanogen_core.errors import DataError, near_miss
from nanogen_data.notes import warn_once
from nanogen_eval.sources import Source
from nanogen_files.errors import counted

log = logging.getLogger(__name__)


def pairs(images: Source, references: Source, metric: str) -> list[int]:
    """Return, for each image, the row of its reference image.

    Files of two folders are paired by name, without suffixes if that is unambiguous. Other images are paired by order,
    and both sources must have the same number of images.

    Args:
        images: Images to evaluate.
        references: Reference images.
        metric: Name of the metric, for error messages.

    Raises:
        DataError: An image has no reference image, or sources paired by order have different numbers of images.
    """
    names, reference_names = getattr(images, "names", None), getattr(references, "names", None)
    if names is not None and reference_names is not None:
        return _by_name(names, reference_names, metric)
    count, reference_count = total(images), total(references)
    if count != reference_count:
        raise DataError(
            f"{metric} compares {counted(count, 'image')} with {counted(reference_count, 'reference image')} in order,"
            " because not both have file names. Give the same number of both, or two folders with equal file names."
        )
    return list(range(len(images.requests.indices)))


def total(source: Source) -> int:
    """Number of images of a source, including those beyond `--count`."""
    return int(getattr(source, "total", len(source.requests.indices)))


def _by_name(names: Sequence[str], reference_names: Sequence[str], metric: str) -> list[int]:
    keys, reference_keys = _keys(names, reference_names)
    rows = {key: row for row, key in enumerate(reference_keys)}
    missing = [name for name, key in zip(names, keys, strict=True) if key not in rows]
    if missing:
        raise DataError(
            f"{metric} compares each image with the reference image of the same name. Images without one:"
            f" {len(missing)} of {len(names)}, such as {missing[0]!r}.{near_miss(missing[0], reference_names)} Rename"
            " the images, or add their references."
        )
    used = set(keys)
    unused = [name for name, key in zip(reference_names, reference_keys, strict=True) if key not in used]
    if unused:
        warn_once(
            log,
            f"{metric}: {len(unused)} of {len(reference_names)} reference images are not used, such as {unused[0]!r}.",
        )
    return [rows[key] for key in keys]


def _keys(names: Sequence[str], reference_names: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """Return the names without suffixes, so that formats may differ.

    The names keep their suffixes if two files of a folder differ in suffix only.
    """
    stems = [[splitext(name)[0] for name in side] for side in (names, reference_names)]
    unambiguous = all(len(set(side)) == len(side) for side in stems)
    return (stems[0], stems[1]) if unambiguous else (names, reference_names)
