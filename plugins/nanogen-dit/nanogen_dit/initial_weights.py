"""Initial weights of LightningDiT and DDT."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import nn

from nanogen_dit.embeddings import ConditionEmbedding, TimeEmbedding
from nanogen_dit.layers import EMBEDDING_STD, EmbeddingLinear, FusedLinear, PatchLinear, ZeroLinear
from nanogen_dit.linear import Linear


def published(net: nn.Module) -> None:
    """Keep the initial weights of DiffusionBench (arXiv 2606.24888), which all layers have after construction."""


def xavier(net: nn.Module) -> None:
    """Initialise linear maps as Xavier-uniform with zero biases, and learned tokens as normal with std 0.02.

    Each of the maps in a `FusedLinear` is initialised separately. Patch embeddings, zero-initialised maps, and the
    weights of time and class embeddings stay as published.
    """
    for module in net.modules():
        if isinstance(module, Linear) and not isinstance(module, PatchLinear | ZeroLinear):
            _redraw(module)
        elif isinstance(module, TimeEmbedding | ConditionEmbedding) and module.learned is not None:
            nn.init.normal_(module.learned, std=EMBEDDING_STD)


def _redraw(module: Linear) -> None:
    if not isinstance(module, EmbeddingLinear):
        rows = module.fused_rows["weight"] if isinstance(module, FusedLinear) else (module.out_features,)
        for part in torch.split(module.weight, list(rows)):
            nn.init.xavier_uniform_(part)
    if module.bias is not None:
        nn.init.zeros_(module.bias)


INITIAL_WEIGHTS: Mapping[str, Callable[[nn.Module], None]] = {"published": published, "xavier": xavier}
