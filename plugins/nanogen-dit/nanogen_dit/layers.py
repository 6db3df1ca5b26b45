"""Linear maps with their initial weights, RMSNorm, SwiGLU, and the modulation of adaLN.

Initial weights follow the published code. `Linear` has torch's default: uniform in +-1/sqrt(inputs).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nanogen_dit.linear import Linear
from nanogen_files.adaptation import Adapted, Origin, grown

EPS = 1e-6
EMBEDDING_STD = 0.02


class FusedLinear(Linear):
    """`parts` linear maps of the same input, stored as one matrix [parts * outputs, inputs].

    Optimizers that treat matrices one by one (Muon) split this matrix by `fused_rows`.
    """

    def __init__(self, inputs: int, outputs: int, parts: int):
        super().__init__(inputs, parts * outputs)
        self.fused_rows = {"weight": (outputs,) * parts}  # see nanogen_train.optim.fused


class PatchLinear(Linear):
    """Linear map of a patch embedding. Initial weights: Xavier-uniform, zero bias."""

    def reset_parameters(self) -> None:
        nn.init.xavier_uniform_(self.weight)
        nn.init.zeros_(self.bias)


class ZeroLinear(Linear):
    """Linear map with zero initial weights, for output layers and adaLN."""

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)


class EmbeddingLinear(Linear):
    """Linear map of the time MLP or the class table. Initial weights: normal with std 0.02; biases: torch's default."""

    def reset_parameters(self) -> None:
        super().reset_parameters()
        nn.init.normal_(self.weight, std=EMBEDDING_STD)


def learned_tokens(count: int, width: int) -> nn.Parameter:
    """Return learned tokens [count, width]. Initial values are normal with standard deviation 1 / sqrt(width)."""
    return nn.Parameter(torch.randn(count, width) * width**-0.5)


class RMSNorm(nn.Module):
    """`x / sqrt(mean(x^2) + 1e-6) * weight` over the last dimension, in float32 or better, also under autocast."""

    def __init__(self, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        return F.rms_norm(x, self.weight.shape, self.weight.to(x.dtype), EPS)


class SwiGLU(nn.Module):
    """`w3(silu(w1 x) * w2 x)` with w1 and w2 in one matrix.

    Args:
        width: Width of input and output.
        ratio: Sets the inner width, `int(2/3 * ratio * width)`, without LLaMA's rounding to a multiple of 256.
    """

    def __init__(self, width: int, ratio: float):
        super().__init__()
        inner = int(2 / 3 * ratio * width)
        self.w12 = FusedLinear(width, inner, parts=2)
        self.w3 = Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.w12(x).chunk(2, dim=-1)
        out: Tensor = self.w3(F.silu(gate) * value)
        return out

    def adapt_state(self, state: Mapping[str, Tensor], origin: Origin) -> Mapping[str, Adapted]:
        """Grow pretrained weights that have fewer inner units. The columns of `w3` for the new units are zero."""
        return grown_mlp(self, state, "w12", "w3", parts=2)


def grown_mlp(
    module: nn.Module, state: Mapping[str, Tensor], inlet: str, outlet: str, parts: int
) -> dict[str, Adapted]:
    """Return the weights of a pretrained MLP, grown to more inner units. The output of the MLP is unchanged.

    Args:
        module: The MLP.
        state: The pretrained weights of the MLP.
        inlet: Name of the map to the inner units. Its new rows keep the initial weights of the module.
        outlet: Name of the map from the inner units. Its new columns are zero.
        parts: Number of equal maps that `inlet` consists of.

    Returns:
        The weight and bias of `inlet` and the weight of `outlet`. Empty if the pretrained MLP has another width, has at
        least as many inner units, or lacks a tensor.
    """
    own = module.state_dict()
    names = [f"{linear}.{kind}" for linear in (inlet, outlet) for kind in ("weight", "bias")]
    if not all(name in own and name in state for name in names):
        return {}
    columns, wider = state[f"{outlet}.weight"], own[f"{outlet}.weight"]
    fits = len(columns) == len(wider) and len(state[f"{inlet}.weight"]) == parts * columns.shape[1]
    if not fits or columns.shape[1] >= wider.shape[1]:
        return {}

    def rows(name: str) -> Adapted:
        pairs = zip(state[name].chunk(parts), own[name].chunk(parts), strict=True)
        return Adapted(torch.cat([grown(old, new) for old, new in pairs]), "grown", (name,))

    name = f"{outlet}.weight"
    padded = Adapted(grown(columns, torch.zeros_like(wider)), "grown", (name,))
    return {f"{inlet}.weight": rows(f"{inlet}.weight"), f"{inlet}.bias": rows(f"{inlet}.bias"), name: padded}


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Apply the modulation of adaLN (arXiv 2212.09748): `x * (1 + scale) + shift`."""
    return x * (1 + scale) + shift
