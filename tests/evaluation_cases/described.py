"""Parses arrays that a case describes in words, such as:

`zeros uint8 1x4x4x3`, `all 10`, `4x2 (WxH) all 9`, `6x8 (HxW) pure red`, `image0 all 10, image1 all 200`,
`6x8 zeros, rows 2..3 cols 3..6 = 255`, `16x16x3: channel0=(16*i)%256, channel1=13*j (i row, j col)`,
`clip(a + 12*((i+j)%3) - 10, 0, 255), same in every channel`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ImageColor

from nanogen_core.errors import DataError
from tests.evaluation_cases.formulas import leading_formula

Array = NDArray[Any]

DEFAULT_SHAPE = (1, 16, 16, 3)  # of images without a shape in their description
_SHAPE = re.compile(r"\b(\d+(?:x\d+)+)\b(?:\s*\((HxW|WxH)\))?")
_IMAGE = re.compile(r"\bimage\s*(\d+)[:\s]+")
_CHANNEL = re.compile(r"\bchannel\s*(\d+)\s*=")
_SPAN = r"s?\s*(\d+)(?:(?:\.\.|-)(\d+))?"
_PATCH = re.compile(rf"\b(?=row|col)(?:row{_SPAN})?[\s,]*(?:col(?:umn)?{_SPAN})?\s*=\s*([-+.\w]+)")
_TYPE = re.compile(r"\b(uint8|float32|float64|float)\b")


def number(word: str) -> float:
    """Parse a number. Raises DataError for another text."""
    try:
        return float(word)
    except ValueError as error:
        raise DataError(f"{word!r} is not a number. Correct the case.") from error


def pictures(given: Any, *, others: Mapping[str, Array] = {}, shape: Sequence[int] = DEFAULT_SHAPE) -> Array:
    """Parse images [N, H, W, C] from words or nested lists.

    Args:
        given: The words or lists.
        others: Arrays that a formula may use, by name.
        shape: The shape [N, H, W, C] for words without one.

    Returns:
        uint8 if all values are whole numbers in [0, 255], else float64.

    Raises:
        DataError: The words cannot be parsed.
    """
    if isinstance(given, str) and _IMAGE.search(given):
        return np.concatenate([pictures(part, others=others, shape=(1, *shape[1:])) for part in _images(given)])
    values = array(given, others=others, shape=shape)
    if values.ndim == 2:
        values = np.repeat(values[:, :, None], 3, axis=2)
    values = values[None] if values.ndim == 3 else values  # [N, H, W, C]
    whole = bool(np.all((values == np.round(values)) & (values >= 0) & (values <= 255)))
    return values.astype(np.uint8) if whole else values


def array(given: Any, *, others: Mapping[str, Array] = {}, shape: Sequence[int] = DEFAULT_SHAPE) -> Array:
    """Parse an array from words or nested lists.

    Args:
        given: The words or lists. A shape with `(WxH)` is reversed.
        others: Arrays that a formula may use, by name.
        shape: The shape for words without one.

    Raises:
        DataError: The words cannot be parsed.
    """
    if not isinstance(given, str):
        return np.asarray(given, dtype=np.float64)
    shape, text = _shape(given, shape)
    patches = _PATCH.findall(text)
    base = _PATCH.sub("", text).strip(" ,;:")
    values = _filled(_TYPE.sub("", base).strip(" ,;:"), tuple(shape), others, given)
    for top, bottom, left, right, value in patches:
        rows, columns = _span(top, bottom), _span(left, right)
        index = (rows, columns) if len(shape) < 4 else (slice(None), rows, columns)
        values[index] = number(value)
    return values


def _span(first: str, last: str) -> slice:
    """The slice from `first` to `last` inclusive; everything if `first` is empty."""
    return slice(int(first), int(last or first) + 1) if first else slice(None)


def _images(text: str) -> list[str]:
    """The descriptions of image 0, 1, ... in order."""
    pieces = _IMAGE.split(text)[1:]
    found = sorted((int(index), words.strip(" ,;")) for index, words in zip(pieces[::2], pieces[1::2], strict=True))
    return [words for _, words in found]


def _shape(text: str, default: Sequence[int]) -> tuple[Sequence[int], str]:
    found = _SHAPE.search(text)
    if not found:
        return default, text
    shape = [int(side) for side in found[1].split("x")]
    rest = text[: found.start()] + text[found.end() :]
    return (shape[::-1] if found[2] == "WxH" else shape), rest


def _filled(words: str, shape: tuple[int, ...], others: Mapping[str, Array], given: str) -> Array:
    """The array of a description without its shape, type and patches."""
    if _CHANNEL.search(words):
        return _channels(words, shape, others, given)
    constant = re.fullmatch(r"(?:all|constant|every pixel)?\s*([-+]?[\d.]+)s?", words)
    if constant:
        return np.full(shape, number(constant[1]))
    if re.fullmatch(r"(?:all )?(?:zeros?|black)", words):
        return np.zeros(shape)
    if re.fullmatch(r"(?:all )?ones", words):
        return np.ones(shape)
    if re.fullmatch(r"(?:all )?white", words):
        return np.full(shape, 255.0)
    if words.startswith("pure "):
        return _pure(words.removeprefix("pure ").strip(), shape, given)
    return _formula(words, shape, others, given)


def _pure(name: str, shape: tuple[int, ...], given: str) -> Array:
    try:
        colour = ImageColor.getrgb(name)[:3]
    except ValueError as error:
        raise DataError(f"The description {given!r} names an unknown colour. Correct the case.") from error
    wide = (*shape, 3) if len(shape) == 2 else shape  # [..., H, W, 3]
    return _spread(colour, wide)


def _formula(words: str, shape: tuple[int, ...], others: Mapping[str, Array], given: str) -> Array:
    named: dict[str, Any] = {**_axes(shape), **others}
    like = next((other for name, other in others.items() if re.search(rf"\b{name}\b", words)), None)
    if like is not None:
        shape, named = like.shape, {**_axes(like.shape), **others}
    value = leading_formula(words, named)
    if value is None:
        raise DataError(f"The description {given!r} cannot be parsed. Correct the case.")
    return _spread(value, shape)


def _spread(value: Any, shape: tuple[int, ...]) -> Array:
    spread: Array = np.broadcast_to(np.asarray(value, dtype=np.float64), shape).copy()
    return spread


def _channels(words: str, shape: tuple[int, ...], others: Mapping[str, Array], given: str) -> Array:
    """Parse `channel0=..., channel1=...`, where channels are the last axis."""
    values = np.zeros(shape)
    pieces = _CHANNEL.split(words)[1:]
    for channel, formula in zip(pieces[::2], pieces[1::2], strict=True):
        flat = _formula(formula, (*shape[:-1], 1), others, given)
        values[..., int(channel)] = flat[..., 0] % 256  # wraps around, as a cast to uint8 does
    return values


def _axes(shape: Sequence[int]) -> dict[str, Array]:
    """The index arrays that a formula may use: `i` row, `j` column, `c` channel, `n` image."""
    rank = len(shape)
    axes = {2: "ij", 3: "ijc", 4: "nijc"}.get(rank)
    if axes is None:
        raise DataError(f"A formula needs an array of 2 to 4 axes, got {rank}. Correct the case.")
    reach = [np.arange(side).reshape([-1 if a == axis else 1 for a in range(rank)]) for axis, side in enumerate(shape)]
    return dict(zip(axes, reach, strict=True))
