"""How a latent is cut into tokens."""

from __future__ import annotations

from attrs import frozen

from nanogen_core.errors import Incompatible
from nanogen_core.specs import LatentSpec


@frozen
class Geometry:
    """`patch` latent cells a side of a token, a `grid` of (rows, columns) tokens, `leading` tokens before them."""

    patch: int
    grid: tuple[int, int]
    leading: int  # 1 where a class token is diffused along, else 0

    @classmethod
    def of(cls, latent: LatentSpec, patch_size: int | None) -> Geometry:
        """That of a latent. Raises Incompatible where patches do not divide it."""
        patch = latent.patch_size if patch_size is None else patch_size
        if latent.height % patch or latent.width % patch:
            raise Incompatible(
                f"A latent of {latent.height} x {latent.width} cannot be cut into patches of {patch} x {patch}; "
                f"set the backbone's `patch_size`, or another image size."
            )
        return cls(patch, (latent.height // patch, latent.width // patch), int(latent.cls_token_width > 0))

    @property
    def tokens(self) -> int:
        """How many image tokens there are."""
        return self.grid[0] * self.grid[1]

    @property
    def length(self) -> int:
        """How many tokens the state has: the image's, and the further one."""
        return self.leading + self.tokens
