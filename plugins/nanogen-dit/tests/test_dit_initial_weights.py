"""Initial weights: the option and the variant `xavier`. tests/fidelity checks the published ones."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
from torch import Tensor

from nanogen_core.errors import ConfigError
from nanogen_core.specs import ConditionSpec, LatentSpec
from nanogen_dit.config import DDTConfig, LightningDiTConfig
from nanogen_dit.ddt import DDT
from nanogen_dit.lightning_dit import LightningDiT
from nanogen_dit.published import export_published

LATENT = LatentSpec(6, 8, 8, cls_token_width=40)
LABEL = ConditionSpec(width=50, length=1, learned=8)
TEXT = ConditionSpec(width=60, length=7, normalize=True, padded=True)
TRUNK: dict[str, Any] = {"hidden": 64, "depth": 2, "heads": 4, "patch_size": 2}
DECODER: dict[str, Any] = {"decoder_hidden": 96, "decoder_depth": 1, "decoder_heads": 4}
#: Parts of the published names of maps.
XAVIER = (".attn.", ".mlp.w", "s_projector.", "cls_in_proj", "ctx_embedder.proj", "er.proj.")


def _networks(init: str) -> Iterator[dict[str, Tensor]]:
    """Tensors of both backbones and both kinds of conditions by published name."""
    for condition in (LABEL, TEXT):
        parts: dict[str, Any] = {"latent": LATENT, "condition": condition, "wanted": frozenset({"two-time"})}
        yield export_published(LightningDiT(LightningDiTConfig(**TRUNK, init=init), **parts), tables=False)
        yield export_published(DDT(DDTConfig(**TRUNK, **DECODER, init=init), **parts), tables=False)


def test_the_published_weights_are_the_default() -> None:
    assert LightningDiTConfig().init == DDTConfig().init == "published"


def test_xavier_draws_every_map_of_the_published_layout_apart() -> None:
    for tensors in _networks("xavier"):
        for name, x in tensors.items():
            if name.endswith("bias"):
                assert not x.any(), name
            elif "_norm" in name or ".norm" in name:
                assert (x == 1).all(), name
            elif "learnable_tokens" in name or "embedding_table" in name or "embedder.mlp" in name:
                assert float(x.std()) == pytest.approx(0.02, rel=0.15), name
            elif any(part in name for part in XAVIER):
                bound = math.sqrt(6 / (x[0].numel() + len(x)))
                assert 0.97 * bound < float(x.abs().max()) <= bound * (1 + 1e-6), name
            elif not name.endswith(".W"):
                assert not x.any(), name  # heads and adaLN maps


def test_the_two_differ_in_biases_and_scales() -> None:
    for ours, published in zip(_networks("xavier"), _networks("published"), strict=True):
        assert published["blocks.0.attn.q.bias"].any()
        assert ours["blocks.0.mlp.w1.weight"].abs().max() > 1.2 * published["blocks.0.mlp.w1.weight"].abs().max()


def test_an_unknown_choice_is_an_error() -> None:
    with pytest.raises(
        ConfigError, match="init: 'xavie' is unknown. Use one of published, xavier. Did you mean 'xavier'"
    ):
        LightningDiTConfig(init="xavie")
