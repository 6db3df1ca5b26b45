"""Reads the captions of a sample, and explains what is wrong with a corrupt one."""

from __future__ import annotations

import logging
from pathlib import Path

from attrs import frozen
from webdataset.tariterators import base_plus_ext

from nanogen_core.errors import DataError, listing, shown
from nanogen_data.captions import Captions, captions_of, decode_caption
from nanogen_data.corrupt import CorruptSampleError
from nanogen_data.notes import warn_once
from nanogen_files import json_files, text_files
from nanogen_t2i.tars import IMAGES, MISSING, Row, names_from

log = logging.getLogger(__name__)

JSON = "json"
NAMED = 6  # file names in an error message


@frozen
class CaptionKey:
    """Where the captions of a sample are stored."""

    key: str  # key of the file
    field: str | None  # field of a JSON file
    lines: bool  # whether each line is a caption

    @classmethod
    def of(cls, text: str, *, lines: bool) -> CaptionKey:
        """Parse the option `caption`: a key such as `"txt"`, or a field such as `"json:prompt"`.

        Raises DataError for `"json"` without a field.
        """
        key, colon, field = text.partition(":")
        if key.lower() == JSON and not colon:
            raise DataError(
                f"`dataset.caption` is {text!r}, a file with several values. Set it to one of them as `json:FIELD`."
            )
        return cls(key.lower(), field or None, lines)

    def captions(self, data: bytes, place: str) -> Captions:
        """Decode the captions of a file.

        Args:
            data: The content of the file.
            place: Where the file is, for error messages.

        Raises:
            CorruptSampleError: The content cannot be decoded.
        """
        if self.field is not None:
            return captions_of(self._value(data, place), place)
        text = decode_caption(data, place)
        lines = [line.strip() for line in text_files.lines(text) if line.strip()]
        if len(lines) == 1 or self.lines:
            return lines[0] if len(lines) == 1 else tuple(lines)
        warn_once(
            log,
            f"The caption {place} has {len(lines)} lines, which are read as one caption. Set "
            f"`dataset.caption_lines: true` if each line is a caption.",
            topic="lines of captions",
        )
        return text

    def _value(self, data: bytes, place: str) -> object:
        name = f"The file {place}"
        try:
            found = json_files.parse(text_files.decode(data, name), name)
        except DataError as error:
            raise CorruptSampleError("caption not JSON", str(error)) from error
        if not isinstance(found, dict) or self.field not in found:
            there = listing(map(str, found)) if isinstance(found, dict) else shown(found)
            raise CorruptSampleError(
                "no caption",
                f"{name} has no field {self.field!r}. It has: {there[:200]}. Set `dataset.caption` to `json:FIELD`.",
            )
        return found[self.field]


def missing_part_error(path: Path, row: Row, caption: CaptionKey) -> CorruptSampleError:
    """Make the error for a sample without an image or caption.

    Args:
        path: The tar.
        row: The sample.
        caption: Where captions are expected.
    """
    names = names_from(path, row.first)
    keys = [base_plus_ext(name)[1] for name in names]
    part = "image" if row.image.offset == MISSING else "caption"
    has = ", ".join([*names[:NAMED], *(["..."] if names[NAMED:] else [])]) or f"a file at byte {row.first}"
    message = f"A sample of {path} has no {part}. Its files are: {has}."
    return CorruptSampleError(f"no {part}", message + (_dots(names, keys) or _advice(part, keys, caption)))


def _dots(names: list[str], keys: list[str]) -> str:
    """Return the advice for a file whose name has further dots; empty if there is none."""
    wanted = {*IMAGES, "txt", JSON}
    last = [key.lower().rpartition(".") for key in keys]
    odd = next((name for name, (_, dot, word) in zip(names, last, strict=True) if dot and word in wanted), None)
    if odd is None:
        return ""
    base, key = base_plus_ext(odd)
    return (
        f" As in webdataset, names are split at the first dot after the folder: {odd} is the file {key!r} of the "
        f"sample {base!r}. Use names without further dots."
    )


def _advice(part: str, keys: list[str], caption: CaptionKey) -> str:
    if part == "image":
        return " Set `dataset.image` to the key of the images, unless they have a usual suffix."
    if JSON in keys:
        return f" `dataset.caption` is {caption.key!r}. Set it to `json:FIELD` for captions in JSON files."
    return f" `dataset.caption` is {caption.key!r}. Set it to the key of the caption files."
