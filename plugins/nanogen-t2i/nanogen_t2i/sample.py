"""Reads the captions of a sample, and explains what is wrong with a corrupt one."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

from attrs import frozen
from webdataset.tariterators import base_plus_ext

from nanogen_core.errors import DataError, listing, shown
from nanogen_data.captions import Captions, captions_of, decode_caption, mixed, nth, numbered
from nanogen_data.corrupt import CorruptSampleError
from nanogen_data.notes import warn_once
from nanogen_data.stored_files import StoredFile
from nanogen_files import json_files, text_files
from nanogen_t2i.config import WebDatasetConfig
from nanogen_t2i.tars import IMAGES, MISSING, Row, names_from

log = logging.getLogger(__name__)

JSON = "json"
NAMED = 6  # file names in an error message


@frozen
class CaptionKey:
    """Where captions of a sample are stored."""

    key: str  # key of the file
    field: str | None  # field of a JSON file: a name, or names with dots between
    lines: bool  # whether each line is a caption
    number: int | None = None  # which of several captions, from 1; None: all

    @classmethod
    def of(cls, text: str, *, lines: bool) -> CaptionKey:
        """Parse a key such as `"txt"`, a field such as `"json:meta.prompt"`, or one of several captions: `"txt#2"`.

        Raises DataError for `"json"` without a field.
        """
        whole, number = numbered(text)
        key, colon, field = whole.partition(":")
        if key.lower() == JSON and not colon:
            raise DataError(
                f"The caption key {text!r} is a file with several fields. Set it to one of them as `json:FIELD`."
            )
        return cls(key.lower(), field or None, lines or number is not None, number)

    def captions(self, data: bytes, place: str) -> Captions:
        """Decode the captions of a file.

        Args:
            data: The content of the file.
            place: Where the file is, for error messages.

        Raises:
            CorruptSampleError: The content cannot be decoded, or has no such field or caption.
        """
        return nth(self._all(data, place), self.number, place)

    def _all(self, data: bytes, place: str) -> Captions:
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
        assert self.field is not None
        for value in _at(found, self.field):
            return value
        there = listing(map(str, found)) if isinstance(found, dict) else shown(found)
        raise CorruptSampleError(
            "no caption",
            f"{name} has no field {self.field!r}. It has: {there[:200]}. Set the caption key to `json:FIELD` with one "
            "of its fields.",
        )


def _at(value: object, path: str) -> Iterator[object]:
    """Yield the value of a field, or nothing. `a.b` is the field `a.b`, or else the field `b` of the field `a`."""
    if not isinstance(value, dict):
        return
    if path in value:
        yield value[path]
        return
    for dot in (position for position, letter in enumerate(path) if letter == "."):
        if path[:dot] in value:
            yield from _at(value[path[:dot]], path[dot + 1 :])


class CaptionKeys:
    """Reads the captions of samples under one key, or under several keys with probabilities.

    Args:
        config: The options `caption`, `captions` and `caption_lines`.
    """

    def __init__(self, config: WebDatasetConfig):
        self._probabilities = dict(config.captions)
        names = list(self._probabilities) or [config.caption]
        self._keys = {name: CaptionKey.of(name, lines=config.caption_lines) for name in names}
        self.files = tuple(dict.fromkeys(key.key for key in self._keys.values()))  # keys of the files, in order

    def captions(self, contents: Sequence[bytes | None], places: Sequence[str], sample: str) -> Captions:
        """Decode the captions of a sample.

        Args:
            contents: The content of each of `files`; None for a missing one.
            places: Where each file is, for error messages.
            sample: Where the sample is, for error messages.

        Raises:
            CorruptSampleError: The sample has no captions, or one is damaged.
        """
        stored = dict(zip(self.files, zip(contents, places, strict=True), strict=True))

        def read(name: str) -> Captions:
            key = self._keys[name]
            data, place = stored[key.key]
            if data is None:
                raise CorruptSampleError(
                    "no caption", f"The sample has no file with the key {key.key!r}. Correct `dataset.captions`."
                )
            return key.captions(data, place)

        if not self._probabilities:
            return read(next(iter(self._keys)))
        return mixed(self._probabilities, read, sample)

    def __str__(self) -> str:
        option = "captions" if self._probabilities else "caption"
        return f"`dataset.{option}` is {' and '.join(map(repr, self._keys))}"


def missing_part_error(tar: StoredFile, row: Row, captions: CaptionKeys) -> CorruptSampleError:
    """Make the error for a sample without an image or caption.

    Args:
        tar: The tar.
        row: The sample.
        captions: Where captions are expected.
    """
    names = names_from(tar, row.first)
    keys = [base_plus_ext(name)[1] for name in names]
    part = "image" if row.image.offset == MISSING else "caption"
    has = ", ".join([*names[:NAMED], *(["..."] if names[NAMED:] else [])]) or f"a file at byte {row.first}"
    message = f"A sample of {tar} has no {part}. Its files are: {has}."
    return CorruptSampleError(f"no {part}", message + (_dots(names, keys) or _advice(part, keys, captions)))


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


def _advice(part: str, keys: list[str], captions: CaptionKeys) -> str:
    if part == "image":
        return " If one of them is the image, set `dataset.image` to its key."
    if JSON in keys:
        return f" {captions}. Set it to `json:FIELD` for captions in JSON files."
    return f" {captions}. Set it to the key of the caption files."
