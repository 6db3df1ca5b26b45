"""Decode captions. An invalid caption raises CorruptSampleError."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence

from nanogen_core.errors import DataError, shown
from nanogen_core.randomness import key
from nanogen_data.corrupt import CorruptSampleError
from nanogen_data.notes import warn_once
from nanogen_files import text_files

log = logging.getLogger(__name__)

_STRINGIFIED_LIST = re.compile(r"""\[\s*(["']).*\1\s*\]""", re.DOTALL)
MAX_BYTES = 1 << 20  # of one caption
Captions = str | tuple[str, ...]  # one caption, or several; each epoch uses one of them


def decode_caption(data: bytes, name: str) -> str:
    """Decode a caption file and strip whitespace.

    Args:
        data: Content of the file.
        name: Name of the caption in error messages.

    Raises:
        CorruptSampleError: The caption is empty, too long, or not UTF-8.
    """
    if len(data) > MAX_BYTES:
        raise CorruptSampleError("caption too long", f"The caption {name} has {len(data):,} bytes: shorten it.")
    try:
        text = text_files.decode(data, f"The caption {name}")
    except DataError as error:
        raise CorruptSampleError("caption not UTF-8", str(error)) from error
    return _nonempty(text, name)


def captions_of(value: object, name: str) -> Captions:
    """Return the captions in a table cell or JSON value: a string, or a list of strings.

    Args:
        value: The cell or JSON value.
        name: Name of the caption in error messages.

    Raises:
        CorruptSampleError: The value is neither a nonempty string nor a list of them.
    """
    if isinstance(value, bytes):
        return decode_caption(value, name)
    if isinstance(value, str):
        text = _nonempty(value, name)
        if _STRINGIFIED_LIST.fullmatch(text):
            warn_once(
                log,
                f"The caption {name} looks like a list but is one string, and is used as it is: {shown(text)}. "
                f"Store several captions as a list of strings.",
                topic="stringified lists",
            )
        return text
    if isinstance(value, (list, tuple)) and value and all(isinstance(text, (str, bytes)) for text in value):
        texts = tuple(captions_of(text, name) for text in value)
        return texts if len(texts) > 1 else texts[0]  # type: ignore[return-value]
    if value is None or value == []:
        raise CorruptSampleError("no caption", f"The image {name} has no caption: add one, or remove the example.")
    raise CorruptSampleError(
        "caption not a string",
        f"The caption {name} is {shown(value)}; a caption must be a string or a list of strings.",
    )


def choice(captions: str | Sequence[object], number: int) -> int:
    """Return the index of the caption that an epoch uses; `number` is keyed by (seed, epoch, index)."""
    return 0 if isinstance(captions, str) else key("caption", number) % len(captions)


def texts_of(captions: str | Sequence[str]) -> list[str]:
    """Return all captions of an example."""
    return [captions] if isinstance(captions, str) else list(captions)


def _nonempty(text: str, name: str) -> str:
    text = text.removeprefix("\ufeff").strip()
    if not text:
        raise CorruptSampleError("empty caption", f"The caption {name} is empty: add one, or remove the example.")
    return text
