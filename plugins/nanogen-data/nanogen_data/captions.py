"""From what a dataset holds as a caption to its text, or the reason why there is none."""

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

_LISTED = re.compile(r"""\[\s*(["']).*\1\s*\]""", re.DOTALL)
MOST_BYTES = 1 << 20  # of a caption
Captions = str | tuple[str, ...]  # one text, or several of which each epoch takes one


def decode_caption(data: bytes, name: str) -> str:
    """The text of a caption's file without white space around it. Raises BadExample, with the caption's `name`, for one
    that is empty or no UTF-8."""
    if len(data) > MOST_BYTES:
        raise CorruptSampleError(
            "caption too long", f"The caption {name} has {len(data):,} bytes: write a shorter one."
        )
    try:
        text = text_files.decode(data, f"The caption {name}")
    except DataError as error:
        raise CorruptSampleError("caption no UTF-8", str(error)) from error
    return _filled(text, name)


def captions_of(value: object, name: str) -> Captions:
    """The caption in a cell or a JSON value: a text, or a list of texts. Raises BadExample for anything else."""
    if isinstance(value, bytes):
        return decode_caption(value, name)
    if isinstance(value, str):
        text = _filled(value, name)
        if _LISTED.fullmatch(text):
            warn_once(
                log,
                f"The caption {name} is a list that is written as one text, and is taken as one text: {shown(text)}. "
                f"Write several captions as a list of texts.",
                about="written lists",
            )
        return text
    if isinstance(value, (list, tuple)) and value and all(isinstance(text, (str, bytes)) for text in value):
        texts = tuple(captions_of(text, name) for text in value)
        return texts if len(texts) > 1 else texts[0]  # type: ignore[return-value]
    if value is None or value == []:
        raise CorruptSampleError("no caption", f"The image {name} has no caption: write one, or take the example away.")
    raise CorruptSampleError(
        "caption no text", f"The caption {name} is {shown(value)}, and a caption is a text or a list of texts."
    )


def choice(captions: str | Sequence[object], number: int) -> int:
    """Which of several captions an epoch takes; `number` is keyed by (seed, epoch, index)."""
    return 0 if isinstance(captions, str) else key("caption", number) % len(captions)


def texts_of(captions: str | Sequence[str]) -> list[str]:
    """All captions of an example."""
    return [captions] if isinstance(captions, str) else list(captions)


def _filled(text: str, name: str) -> str:
    text = text.removeprefix("\ufeff").strip()
    if not text:
        raise CorruptSampleError("empty caption", f"The caption {name} is empty: write one, or take the example away.")
    return text
