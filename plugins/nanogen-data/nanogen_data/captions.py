"""Decode captions, and select one of several. An invalid caption raises CorruptSampleError."""

from __future__ import annotations

import logging
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Any

from nanogen_core.errors import DataError, shown
from nanogen_core.randomness import key
from nanogen_data.corrupt import CorruptSampleError
from nanogen_data.notes import warn_once
from nanogen_files import text_files

log = logging.getLogger(__name__)

_STRINGIFIED_LIST = re.compile(r"""\[\s*(["']).*\1\s*\]""", re.DOTALL)
MAX_BYTES = 1 << 20  # of one caption
Captions = str | tuple[str, ...]  # one caption, or several; each epoch uses one of them
ABSENT = ("no caption", "empty caption")  # reasons that make a caption key missing
_NUMBERED = re.compile(r"(.+)#([1-9][0-9]{0,5})", re.DOTALL)
_WORD = 1 << 32


class WeightedCaptions(tuple[str, ...]):
    """Several captions of an image, each with a probability.

    Args:
        texts: The captions.
        weights: Probability of each caption. The probabilities sum to 1.
        missing: Keys of `dataset.captions` that the example lacks. They have no share in `weights`.
    """

    weights: tuple[float, ...]
    missing: tuple[str, ...]

    def __new__(cls, texts: Iterable[str], weights: Iterable[float], missing: Iterable[str] = ()) -> WeightedCaptions:
        self = super().__new__(cls, texts)
        self.weights, self.missing = tuple(weights), tuple(missing)
        return self

    def __getnewargs__(self) -> tuple[Any, ...]:  # for pickle
        return tuple(self), self.weights, self.missing


def mixed(probabilities: Mapping[str, float], read: Callable[[str], Captions], name: str) -> WeightedCaptions:
    """Return the captions of an image under several keys, with the probability of each caption.

    The captions under a key share its probability equally. If keys are missing, the probabilities of the remaining
    captions are scaled to sum to 1.

    Args:
        probabilities: Probability of each key.
        read: Function that returns the captions under a key. It raises CorruptSampleError for an invalid caption. If
            there are no captions, the error has a reason in `ABSENT`.
        name: Name of the image in error messages.

    Raises:
        CorruptSampleError: All keys are missing, or a caption is invalid.
    """
    texts: list[str] = []
    weights: list[float] = []
    missing: dict[str, CorruptSampleError] = {}
    for key_, probability in probabilities.items():
        try:
            found = texts_of(read(key_))
        except CorruptSampleError as error:
            if error.reason not in ABSENT:
                raise
            missing[key_] = error
            continue
        texts += found
        weights += [probability / len(found)] * len(found)
    if not texts:
        raise CorruptSampleError(
            "no caption",
            f"The image {name} has none of the captions {', '.join(probabilities)}. {next(iter(missing.values()))}",
        )
    total = sum(weights)
    return WeightedCaptions(texts, [weight / total for weight in weights], missing)


def numbered(text: str) -> tuple[str, int | None]:
    """Split `"txt#2"` (the second caption under `txt`) into `("txt", 2)`. Without a number, return `(text, None)`."""
    found = _NUMBERED.fullmatch(text)
    return (found[1], int(found[2])) if found else (text, None)


def nth(captions: Captions, number: int | None, name: str) -> Captions:
    """Return caption `number`, counted from 1; all captions for None. Raises CorruptSampleError if it is missing."""
    if number is None:
        return captions
    texts = texts_of(captions)
    if number > len(texts):
        raise CorruptSampleError(
            "no caption",
            f"The image {name} has no caption {number} (number of its captions: {len(texts)}). Lower the number after"
            " `#`, or add the caption.",
        )
    return texts[number - 1]


def decode_caption(data: bytes, name: str) -> str:
    """Decode a caption file and strip whitespace.

    Args:
        data: Content of the file.
        name: Name of the caption in error messages.

    Raises:
        CorruptSampleError: The caption is empty, too long, or not UTF-8.
    """
    if len(data) > MAX_BYTES:
        raise CorruptSampleError(
            "caption too long", f"The caption {name} has {len(data):,} bytes: shorten it to at most 1 MiB."
        )
    try:
        text = text_files.decode(data, f"The caption {name}")
    except DataError as error:
        raise CorruptSampleError("caption not UTF-8", str(error)) from error
    return _nonempty(text, name)


def captions_of(value: object, name: str) -> Captions:
    """Return the captions in a table cell or JSON value.

    Args:
        value: The cell or JSON value: a string, UTF-8 bytes, or a list of these.
        name: Name of the caption in error messages.

    Raises:
        CorruptSampleError: The type is wrong, a caption is missing or empty, or bytes are too long or not UTF-8.
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
    """Return the index of one caption, chosen at random by the 32-bit number `number`.

    All captions are equally likely, except that `WeightedCaptions` have their own probabilities.
    """
    if isinstance(captions, str):
        return 0
    drawn = key("caption", number)
    if not isinstance(captions, WeightedCaptions):
        return drawn % len(captions)
    ends = list(accumulate(captions.weights))
    return min(bisect_right(ends, drawn / _WORD * ends[-1]), len(captions) - 1)


class MissingCaptions:
    """Counts, for each key of `dataset.captions`, the examples that lack it.

    Logs a warning when a count reaches 1, 2, 4, 8 and so on.
    """

    def __init__(self) -> None:
        self.read = 0
        self.counts: Counter[str] = Counter()

    def add(self, missing: Iterable[Sequence[str]]) -> None:
        """Count examples. `missing` has, for each example, the keys that the example lacks (empty if it has all)."""
        for keys in missing:
            self.read += 1
            for name in keys:
                self.counts[name] += 1
                count = self.counts[name]
                if count & (count - 1) == 0:  # 1, 2, 4, 8 ...
                    log.warning(
                        "The caption key %r is missing in %d of %d examples read. Their other captions are used.",
                        name,
                        count,
                        self.read,
                    )


def missing_of(captions: object) -> tuple[str, ...]:
    """Return the keys of `dataset.captions` that an example lacks."""
    return captions.missing if isinstance(captions, WeightedCaptions) else ()


def texts_of(captions: str | Sequence[str]) -> list[str]:
    """Return all captions of an example."""
    return [captions] if isinstance(captions, str) else list(captions)


def _nonempty(text: str, name: str) -> str:
    text = text.removeprefix("\ufeff").strip()
    if not text:
        raise CorruptSampleError("empty caption", f"The caption {name} is empty: add one, or remove the example.")
    return text
