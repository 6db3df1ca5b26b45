"""Block outputs by name.

`"block.8"` is the output of the eighth block for the image tokens, and `"block.8.cls_token"` is its output
for the class token (REG).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from torch import Tensor

from nanogen_core.errors import NanoGenError
from nanogen_dit.geometry import Geometry


class Intermediate(NamedTuple):
    """A requested block output."""

    name: str
    block: int  # counted from 1
    cls_token: bool  # the class token in place of the image tokens


def read_intermediates(names: Iterable[str], depth: int, geometry: Geometry) -> list[Intermediate]:
    """Parse names of block outputs of a network with `depth` blocks. Raises NanoGenError for an unknown name."""
    intermediates = []
    for name in names:
        word, _, rest = name.partition(".")
        number = rest.removesuffix(".cls_token")
        known = word == "block" and number.isdecimal() and 1 <= int(number) <= depth
        if not known or (rest != number and not geometry.leading):
            raise NanoGenError(
                f"The backbone has no intermediate {name!r}. Use 'block.1' to 'block.{depth}'"
                + (", with '.cls_token' for the class token." if geometry.leading else ".")
            )
        intermediates.append(Intermediate(name, int(number), rest != number))
    return intermediates


def features(
    intermediates: Iterable[Intermediate], outputs: Mapping[int, Tensor], geometry: Geometry
) -> dict[str, Tensor]:
    """Return the requested tokens by name.

    Args:
        intermediates: The requests.
        outputs: Block outputs [B, S, width] by block number.
        geometry: Token grid of the state.

    Returns:
        Image tokens [B, N, width] or class tokens [B, width].
    """
    return {
        each.name: outputs[each.block][:, 0] if each.cls_token else image_tokens(outputs[each.block], geometry)
        for each in intermediates
    }


def image_tokens(output: Tensor, geometry: Geometry) -> Tensor:
    """Return the image tokens [B, N, width] of a block output [B, S, width]."""
    return output[:, geometry.leading : geometry.length]
