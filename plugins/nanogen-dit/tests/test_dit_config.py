"""Presets, overrides and parameter counts."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from nanogen_core.errors import ConfigError
from nanogen_core.specs import ConditionSpec, LatentSpec
from nanogen_dit.config import DDT_SIZES, SIZES, DDTConfig, LightningDiTConfig, Trunk
from nanogen_dit.ddt import DDT
from nanogen_dit.lightning_dit import LightningDiT
from nanogen_files.structure import structure

CLASSES = ConditionSpec(width=1001, length=1, learned=8)


def _millions(net: torch.nn.Module) -> float:
    return sum(p.numel() for p in net.parameters()) / 1e6


@pytest.mark.parametrize(
    ("latent", "expected"),
    [(LatentSpec(768, 16, 16, factor=16), 615.3), (LatentSpec(4, 32, 32, factor=8), 611.3)],
    ids=["RAE ViT-B", "SD-VAE"],
)
def test_published_size_of_ddt(latent: LatentSpec, expected: float) -> None:
    with torch.device("meta"):
        net = DDT(DDTConfig(), latent=latent, condition=CLASSES)
    assert round(_millions(net), 1) == expected


def test_every_preset_builds_and_each_is_larger_than_the_last() -> None:
    latent = LatentSpec(4, 32, 32, factor=8)
    with torch.device("meta"):
        plain = [LightningDiT(LightningDiTConfig(size=n), latent=latent, condition=CLASSES) for n in SIZES]
        decoupled = [DDT(DDTConfig(size=n), latent=latent, condition=CLASSES) for n in DDT_SIZES]
    for nets in (plain, decoupled):
        sizes = [_millions(net) for net in nets]
        assert sizes == sorted(sizes)


def test_options_override_the_preset() -> None:
    config = DDTConfig(size="B", depth=3, decoder_hidden=96, decoder_heads=4)
    assert config.trunk == Trunk(768, 3, 12)
    assert config.decoder == Trunk(96, 2, 4)
    assert structure({"size": "tiny", "hidden": 64}, LightningDiTConfig, "backbone").trunk == Trunk(64, 6, 4)


def test_the_internal_head_reads_block_8_of_28() -> None:
    config = LightningDiTConfig()
    assert config.internal_depth(config.trunk, frozenset({"internal-head"})) == 8
    assert config.internal_depth(config.trunk, frozenset()) is None
    assert LightningDiTConfig(internal_head_depth=4).internal_depth(config.trunk, frozenset()) == 4


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"size": "tny"}, "size: 'tny' is unknown. Use one of tiny, small, B, L, XL. Did you mean 'tiny'?"),
        ({"hidden": 30}, "got width 30 and heads 16"),
        ({"depth": 0}, "depth: must be above 0 and at most 1,000, got 0"),
        ({"depth": 4, "internal_head_depth": 5}, "internal_head_depth: must be at most 4, the encoder's depth, got 5"),
    ],
)
def test_mistakes(options: dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence.replace("?", r"\?")):
        structure(options, LightningDiTConfig, "backbone")


def test_manifest_and_config_load_no_torch() -> None:
    script = "import sys, nanogen_dit.plugin, nanogen_dit.config; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_manifest_names_what_is_there() -> None:
    from nanogen_core.config import import_object
    from nanogen_dit.plugin import nanogen_components

    for component in nanogen_components():
        assert import_object(component.target)
        assert import_object(str(component.config))
