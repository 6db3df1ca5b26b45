"""What a sample's files say: its captions, and why it has none."""

from __future__ import annotations

import logging
from pathlib import Path

from attrs import frozen
from webdataset.tariterators import base_plus_ext  # type: ignore[import-untyped]

from nanogen_core.errors import DataError, listing, shown
from nanogen_data.captions import Captions, captions_of, decode_caption
from nanogen_data.corrupt import CorruptSampleError
from nanogen_data.notes import warn_once
from nanogen_files import json_files, text_files
from nanogen_t2i.tars import IMAGES, MISSING, Row, names_from

log = logging.getLogger(__name__)

JSON = "json"
NAMED = 6  # files that a sentence names


@frozen
class CaptionKey:
    """Where a sample's captions stand: in the file of a key, or in a `field` of it; one on each of its `lines`."""

    key: str
    field: str | None
    lines: bool

    @classmethod
    def of(cls, text: str, *, lines: bool) -> CaptionKey:
        """`"txt"`, `"caption"`, or `"json:prompt"` for a field. Raises DataError for a JSON file without one."""
        key, colon, field = text.partition(":")
        if key.lower() == JSON and not colon:
            raise DataError(f"`dataset.caption` is {text!r}, which holds several values: name one by `json:FIELD`.")
        return cls(key.lower(), field or None, lines)

    def captions(self, data: bytes, place: str) -> Captions:
        """The captions in the bytes of that file. Raises BadExample, with the `place`."""
        if self.field is not None:
            return captions_of(self._value(data, place), place)
        text = decode_caption(data, place)
        lines = [line.strip() for line in text_files.lines(text) if line.strip()]
        if len(lines) == 1 or self.lines:
            return lines[0] if len(lines) == 1 else tuple(lines)
        warn_once(
            log,
            f"The caption {place} has {len(lines)} lines, and is taken as one text, as all others: set "
            f"`dataset.caption_lines: true` where each line is a caption of its own.",
            topic="lines of captions",
        )
        return text

    def _value(self, data: bytes, place: str) -> object:
        name = f"The file {place}"
        try:
            found = json_files.parse(text_files.decode(data, name), name)
        except DataError as error:
            raise CorruptSampleError("caption no JSON", str(error)) from error
        if not isinstance(found, dict) or self.field not in found:
            there = listing(map(str, found)) if isinstance(found, dict) else shown(found)
            raise CorruptSampleError("no caption", f"{name} has no field {self.field!r}, only: {there[:200]}.")
        return found[self.field]


def lacking(path: Path, row: Row, caption: CaptionKey) -> CorruptSampleError:
    """Says what a sample lacks, and what it has."""
    names = names_from(path, row.first)
    keys = [base_plus_ext(name)[1] for name in names]
    part = "image" if row.image.offset == MISSING else "caption"
    has = ", ".join([*names[:NAMED], *(["..."] if names[NAMED:] else [])]) or f"a file at byte {row.first}"
    sentence = f"A sample of {path} has no {part}: it has {has}."
    return CorruptSampleError(f"no {part}", sentence + (_dots(names, keys) or _advice(part, keys, caption)))


def _dots(names: list[str], keys: list[str]) -> str:
    """Where the part may be there, behind a dot too many."""
    wanted = {*IMAGES, "txt", JSON}
    last = [key.lower().rpartition(".") for key in keys]
    odd = next((name for name, (_, dot, word) in zip(names, last, strict=True) if dot and word in wanted), None)
    if odd is None:
        return ""
    base, key = base_plus_ext(odd)
    return (
        f" Names are split at the first dot after the folder, as webdataset does: {odd} is the file {key!r} of the "
        f"sample {base!r}. Write names without further dots."
    )


def _advice(part: str, keys: list[str], caption: CaptionKey) -> str:
    if part == "image":
        return " Images are known by their suffix; `dataset.image` names another key."
    if JSON in keys:
        return f" `dataset.caption` is {caption.key!r}: set it to `json:FIELD` where the captions stand in a JSON file."
    return f" `dataset.caption` is {caption.key!r}: set it to the key of the files that hold the captions."
