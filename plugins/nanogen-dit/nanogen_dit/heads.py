"""Output heads without and with adaLN."""

from __future__ import annotations

from torch import Tensor, nn

from nanogen_core.specs import LatentSpec
from nanogen_core.tensors import State
from nanogen_dit.embeddings import unpatchify
from nanogen_dit.geometry import Geometry
from nanogen_dit.layers import RMSNorm, ZeroLinear, modulate


def cast(value: State, like: State) -> State:
    """Convert `value` to the dtype of `like`, so that networks return the dtype of their input under autocast."""
    return value.map(lambda x: x.to(like.latent.dtype))


class Readout(nn.Module):
    """Zero-initialised linear maps from tokens [B, (1) + N, width] to a state.

    Args:
        latent: Shape of the state.
        geometry: Patch size and token grid.
        width: Width of the tokens.
    """

    def __init__(self, latent: LatentSpec, geometry: Geometry, width: int):
        super().__init__()
        self.geometry = geometry
        self.image = ZeroLinear(width, latent.channels * geometry.patch**2)
        self.token = ZeroLinear(width, latent.cls_token_width) if latent.cls_token_width else None

    def forward(self, tokens: Tensor) -> State:
        if self.token is None:
            return State(self._latent(tokens))
        return State(self._latent(tokens[:, 1:]), self.token(tokens[:, 0]))

    def _latent(self, tokens: Tensor) -> Tensor:
        return unpatchify(self.image(tokens), self.geometry.patch, self.geometry.grid)


class Head(nn.Module):
    """Linear head: `linear(norm(x))` from tokens [B, (1) + N, width] to a state.

    Args:
        latent: Shape of the state.
        geometry: Patch size and token grid.
        width: Width of the tokens.
    """

    def __init__(self, latent: LatentSpec, geometry: Geometry, width: int):
        super().__init__()
        self.norm = RMSNorm(width)
        self.readout = Readout(latent, geometry, width)

    def forward(self, tokens: Tensor) -> State:
        state: State = self.readout(self.norm(tokens))
        return state


class AdaLNHead(Head):
    """Head with adaLN: shift and scale for each token."""

    def __init__(self, latent: LatentSpec, geometry: Geometry, width: int):
        super().__init__(latent, geometry, width)
        self.modulation = ZeroLinear(width, 2 * width)

    def forward(self, tokens: Tensor, signal: Tensor) -> State:  # type: ignore[override]
        """Map tokens to a state. `signal` [B, (1) + N, width]: SiLU of the conditioning vector of each token."""
        shift, scale = self.modulation(signal).chunk(2, dim=-1)
        state: State = self.readout(modulate(self.norm(tokens), shift, scale))
        return state
