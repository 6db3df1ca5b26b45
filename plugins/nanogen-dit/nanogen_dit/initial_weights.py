"""The choice of initial weights. Layers are made with the published ones; `xavier` draws some of them again."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import nn

from nanogen_dit.embeddings import ConditionEmbedding, TimeEmbedding
from nanogen_dit.layers import EMBEDDING_STD, EmbeddingLinear, FusedLinear, PatchLinear, ZeroLinear
from nanogen_dit.linear import Linear


def published(net: nn.Module) -> None:
    """Those of DiffusionBench (arXiv 2606.24888), which every layer has after its construction."""


def xavier(net: nn.Module) -> None:
    """Our own: maps Xavier-uniform, fused ones each by itself; all biases zero; learned tokens normal(0.02)."""
    for module in net.modules():
        if isinstance(module, Linear) and not isinstance(module, PatchLinear | ZeroLinear):
            _redraw(module)
        elif isinstance(module, TimeEmbedding | ConditionEmbedding) and module.learned is not None:
            nn.init.normal_(module.learned, std=EMBEDDING_STD)


def _redraw(module: Linear) -> None:
    if not isinstance(module, EmbeddingLinear):
        rows = module.fused_rows["weight"] if isinstance(module, FusedLinear) else (module.out_features,)
        for part in module.weight.split(rows):
            nn.init.xavier_uniform_(part)
    if module.bias is not None:
        nn.init.zeros_(module.bias)


INITIAL_WEIGHTS: Mapping[str, Callable[[nn.Module], None]] = {"published": published, "xavier": xavier}
