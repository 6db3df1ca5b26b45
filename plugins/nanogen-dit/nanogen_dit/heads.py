"""What reads a state off the tokens, plain and steered."""

from __future__ import annotations

from torch import Tensor, nn

from nanogen_core.specs import LatentSpec
from nanogen_core.tensors import State
from nanogen_dit.embeddings import unpatchify
from nanogen_dit.geometry import Geometry
from nanogen_dit.layers import RMSNorm, ZeroLinear, modulate


def cast(value: State, like: State) -> State:
    """A state with the dtype of another: autocast ends where a network ends."""
    return value.map(lambda x: x.to(like.latent.dtype))


class Readout(nn.Module):
    """Tokens [B, (1) + N, width] -> a state: linear maps that start as zero."""

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
    """`linear(norm(x))`."""

    def __init__(self, latent: LatentSpec, geometry: Geometry, width: int):
        super().__init__()
        self.norm = RMSNorm(width)
        self.readout = Readout(latent, geometry, width)

    def forward(self, tokens: Tensor) -> State:
        state: State = self.readout(self.norm(tokens))
        return state


class SteeredHead(Head):
    """The same with adaLN: each token has its own shift and scale."""

    def __init__(self, latent: LatentSpec, geometry: Geometry, width: int):
        super().__init__(latent, geometry, width)
        self.modulation = ZeroLinear(width, 2 * width)

    def forward(self, tokens: Tensor, style: Tensor) -> State:  # type: ignore[override]
        """`style` [B, (1) + N, width] is the steering signal after its SiLU."""
        shift, scale = self.modulation(style).chunk(2, dim=-1)
        state: State = self.readout(modulate(self.norm(tokens), shift, scale))
        return state
