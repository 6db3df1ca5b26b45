"""Block outputs by name: `"block.8"` is what the eighth block made of the image tokens, counted from 1.

`"block.8.token"` is what it made of the further token that is diffused along (REG).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from torch import Tensor

from nanogen_core.errors import NanoGenError
from nanogen_dit.geometry import Geometry


class Tap(NamedTuple):
    """A block output that somebody wants."""

    name: str
    block: int  # from 1
    token: bool  # the further token, instead of the image tokens


def read_taps(names: Iterable[str], depth: int, geometry: Geometry) -> list[Tap]:
    """What the names ask of a network of `depth` blocks. Raises NanoGenError for what it does not have."""
    taps = []
    for name in names:
        word, _, rest = name.partition(".")
        number = rest.removesuffix(".token")
        known = word == "block" and number.isdecimal() and 1 <= int(number) <= depth
        if not known or (rest != number and not geometry.leading):
            raise NanoGenError(f"The backbone has no output {name!r}; its taps are 'block.1' to 'block.{depth}'.")
        taps.append(Tap(name, int(number), rest != number))
    return taps


def features(taps: Iterable[Tap], outputs: Mapping[int, Tensor], geometry: Geometry) -> dict[str, Tensor]:
    """The tapped part of the block outputs [B, S, width]: image tokens [B, N, width], or the token [B, width]."""
    return {
        tap.name: outputs[tap.block][:, 0] if tap.token else image_tokens(outputs[tap.block], geometry) for tap in taps
    }


def image_tokens(output: Tensor, geometry: Geometry) -> Tensor:
    """The image tokens [B, N, width] of a block output [B, S, width]."""
    return output[:, geometry.leading : geometry.length]
