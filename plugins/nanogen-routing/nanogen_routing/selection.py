"""Selection of the tokens that a route keeps, and functions that take and replace tokens of a sequence."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from nanogen_core.errors import Incompatible
from nanogen_dit.encoder import Embedded
from nanogen_dit.geometry import Geometry
from nanogen_dit.rope import Rotation
from nanogen_routing.config import GROUP, RouteOptions


def at_random(scores: Tensor, grid: tuple[int, int], share: float) -> Tensor:
    """Return the indices [B, K] of the K = N - int(share N) tokens with the lowest scores [B, N]."""
    count = scores.shape[1]
    return scores.argsort(dim=1)[:, : count - int(share * count)]


def in_groups(scores: Tensor, grid: tuple[int, int], share: float) -> Tensor:
    """Keep the 4 (1 - share) tokens with the lowest scores [B, N] in each 2 x 2 group. Return their indices [B, K]."""
    rows, columns = grid
    numbers = _grouped(torch.arange(rows * columns, device=scores.device)[None], grid)  # [1, G, 4]
    kept = _grouped(scores, grid).argsort(dim=2)[..., : GROUP - round(share * GROUP)]  # [B, G, k]
    return numbers.expand(len(scores), -1, -1).gather(2, kept).flatten(1)


def _grouped(values: Tensor, grid: tuple[int, int]) -> Tensor:
    """Return values [B, N] of a grid of tokens by 2 x 2 groups: [B, N / 4, 4]."""
    rows, columns = grid
    return values.reshape(-1, rows // 2, 2, columns // 2, 2).transpose(2, 3).flatten(3).flatten(1, 2)


SELECTIONS: Mapping[str, Callable[[Tensor, tuple[int, int], float], Tensor]] = {
    "random": at_random,
    "groups": in_groups,
}


class Selection:
    """Draws the tokens of a route for each sample, with torch's global generator, as dropout does.

    Args:
        options: Share and kind of selection.
        geometry: Token grid of the state.

    Raises:
        Incompatible: The grid cannot be cut into 2 x 2 groups.
    """

    def __init__(self, options: RouteOptions, geometry: Geometry):
        self.share, self.geometry = options.share, geometry
        self._select = SELECTIONS[options.selection]
        if options.selection == "groups" and any(side % 2 for side in geometry.grid):
            raise Incompatible(
                f"backbone.selection: a grid of {geometry.grid[0]} x {geometry.grid[1]} tokens cannot be cut into 2 x 2"
                " groups. Set `backbone.selection: random`, or another patch size."
            )

    def kept(self, tokens: Tensor) -> Tensor | None:
        """Draw the positions [B, K] of the tokens in a sequence [B, S, width] that take the route. None means all.

        The positions are sorted, and include those of all tokens that are not image tokens.
        """
        if not self.share:
            return None
        size, length, device = len(tokens), tokens.shape[1], tokens.device
        scores = torch.rand(size, self.geometry.tokens, device=device)
        image = self._select(scores, self.geometry.grid, self.share).sort(dim=1).values + self.geometry.leading
        before = torch.arange(self.geometry.leading, device=device).expand(size, -1)
        after = torch.arange(self.geometry.length, length, device=device).expand(size, -1)
        return torch.cat([before, image, after], dim=1)


def taken(x: Tensor, positions: Tensor) -> Tensor:
    """Return the tokens [B, K, width] of `x` [B, S, width] at positions [B, K]."""
    return x.gather(1, _index(positions, x))


def put(part: Tensor, positions: Tensor, x: Tensor) -> Tensor:
    """Return `x` [B, S, width] with the tokens `part` [B, K, width] at positions [B, K]."""
    return x.scatter(1, _index(positions, x), part.to(x.dtype))


def at_positions(embedded: Embedded, positions: Tensor) -> tuple[Rotation, Tensor | None]:
    """Return the rotation and the key mask of the tokens at positions [B, K] of a sequence."""
    rotation = Rotation(*(table[positions] for table in embedded.rotation))  # [B, K, 1, d]
    mask = None if embedded.mask is None else embedded.mask.gather(3, positions[:, None, None])
    return rotation, mask


def _index(positions: Tensor, x: Tensor) -> Tensor:
    return positions[..., None].expand(-1, -1, x.shape[2])
