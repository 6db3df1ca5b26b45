"""Block outputs by name: `"block.8"` is what the eighth block made of the image tokens, counted from 1.

`"block.8.cls_token"` is its output for the class token that is diffused too (REG).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from torch import Tensor

from nanogen_core.errors import NanoGenError
from nanogen_dit.geometry import Geometry


class Intermediate(NamedTuple):
    """A block output that a caller asks for."""

    name: str
    block: int  # from 1
    cls_token: bool  # the class token, instead of the image tokens


def read_intermediates(names: Iterable[str], depth: int, geometry: Geometry) -> list[Intermediate]:
    """What the names ask of a network of `depth` blocks. Raises NanoGenError for what it does not have."""
    intermediates = []
    for name in names:
        word, _, rest = name.partition(".")
        number = rest.removesuffix(".cls_token")
        known = word == "block" and number.isdecimal() and 1 <= int(number) <= depth
        if not known or (rest != number and not geometry.leading):
            raise NanoGenError(
                f"The backbone has no output {name!r}; its intermediates are 'block.1' to 'block.{depth}'."
            )
        intermediates.append(Intermediate(name, int(number), rest != number))
    return intermediates


def features(
    intermediates: Iterable[Intermediate], outputs: Mapping[int, Tensor], geometry: Geometry
) -> dict[str, Tensor]:
    """The requested parts of block outputs [B, S, width]: image tokens [B, N, width], class token [B, width]."""
    return {
        each.name: outputs[each.block][:, 0] if each.cls_token else image_tokens(outputs[each.block], geometry)
        for each in intermediates
    }


def image_tokens(output: Tensor, geometry: Geometry) -> Tensor:
    """The image tokens [B, N, width] of a block output [B, S, width]."""
    return output[:, geometry.leading : geometry.length]
