"""Patch size and token grid of a latent."""

from __future__ import annotations

from attrs import frozen

from nanogen_core.errors import Incompatible
from nanogen_core.specs import LatentSpec


@frozen
class Geometry:
    """How a latent is cut into tokens.

    Args:
        patch: Latent cells along one side of a token.
        grid: Rows and columns of image tokens.
        leading: Tokens before the image tokens: 1 with a class token (REG), else 0.
    """

    patch: int
    grid: tuple[int, int]
    leading: int

    @classmethod
    def of(cls, latent: LatentSpec, patch_size: int | None) -> Geometry:
        """Return the geometry of a latent. If `patch_size` is None, it is that of the latent.

        Raises:
            Incompatible: The patch size does not divide height and width.
        """
        patch = latent.patch_size if patch_size is None else patch_size
        if latent.height % patch or latent.width % patch:
            raise Incompatible(
                f"A latent of {latent.height} x {latent.width} cannot be cut into patches of {patch} x {patch}. "
                f"Set the backbone's `patch_size`, or another image size."
            )
        return cls(patch, (latent.height // patch, latent.width // patch), int(latent.cls_token_width > 0))

    @property
    def tokens(self) -> int:
        """Number of image tokens."""
        return self.grid[0] * self.grid[1]

    @property
    def length(self) -> int:
        """Number of state tokens: image tokens and the class token, if any."""
        return self.leading + self.tokens
