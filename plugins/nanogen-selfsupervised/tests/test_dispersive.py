"""The dispersive loss against its equation, the authors' code and other processes."""

from __future__ import annotations

import pytest
import torch

from nanogen_core.randomness import KeyedRNG
from nanogen_core.specs import ConditionSpec, LatentSpec
from nanogen_core.tensors import Batch, Condition, ForwardPass, Prediction, State, Times
from nanogen_dit import DDT, DDTConfig, LightningDiT, LightningDiTConfig
from nanogen_selfsupervised import Dispersive, DispersiveConfig, dispersive

LATENT, LABELS = LatentSpec(4, 8, 8, factor=8), ConditionSpec(11, 1, learned=2)
BATCH = Batch(torch.arange(2))


def backbone(depth=4):
    config = LightningDiTConfig(hidden=8, depth=depth, heads=1)
    return LightningDiT(config, latent=LATENT, condition=LABELS)


def loss_of(tokens, **options):
    auxiliary = Dispersive(DispersiveConfig(**options), backbone=backbone())
    state, times = State(torch.zeros(len(tokens), *LATENT.shape)), Times(*torch.ones(2, len(tokens)))
    prediction = Prediction(state, {auxiliary.intermediates[0]: tokens})
    forward_pass = ForwardPass(state, times, prediction, state, state, Condition(torch.zeros(len(tokens), 1, 1)))
    return auxiliary.loss(forward_pass, state, BATCH, {}, KeyedRNG(0, range(len(tokens))))


def test_the_equation_holds_sample_by_sample():
    tokens = torch.randn(5, 3, 8, generator=torch.Generator().manual_seed(0)).double()
    terms = [
        torch.exp(-sum(((a - b) ** 2).sum() for a, b in zip(one, other, strict=True)) / (3 * 8) / 0.7)
        for one in tokens
        for other in tokens
    ]
    expected = torch.log(sum(terms) / 25)
    losses = loss_of(tokens.float(), tau=0.7, weight=0.25, block=2)
    assert losses.parts["dispersion"].item() == pytest.approx(expected.item(), rel=1e-5)
    assert losses.total.item() == pytest.approx(0.25 * expected.item(), rel=1e-5)


def test_the_gradient_is_that_of_pairwise_distances():
    """The authors' PyTorch code uses pdist, with both orders of each pair and the zeros of the diagonal."""
    tokens = torch.randn(6, 4, 8, generator=torch.Generator().manual_seed(1))
    ours, theirs = tokens.clone().requires_grad_(), tokens.clone().requires_grad_()
    loss_of(ours, tau=0.5, weight=1.0).total.backward()
    pairs = torch.nn.functional.pdist(theirs.flatten(1)).square() / 32
    torch.cat([pairs, pairs, torch.zeros(6)]).div(-0.5).exp().mean().log().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-7)


def test_equal_and_distant_samples_are_the_extremes():
    assert loss_of(torch.ones(4, 2, 8)).parts["dispersion"].item() == pytest.approx(0, abs=1e-6)
    distant = 1e3 * torch.eye(4)[:, None].expand(4, 2, 4)
    assert loss_of(distant).parts["dispersion"].item() == pytest.approx(-torch.tensor(4.0).log().item())
    assert loss_of(torch.randn(1, 2, 8)).total.item() == 0


def test_small_differences_of_large_features_are_exact_under_autocast():
    small = torch.randn(4, 2, 8, generator=torch.Generator().manual_seed(2))
    with torch.autocast("cpu", torch.bfloat16):
        found = loss_of(small + 1000).parts["dispersion"]
    assert found.item() == pytest.approx(loss_of(small).parts["dispersion"].item(), abs=1e-3)


def test_the_default_block_is_at_a_quarter_of_the_depth():
    blocks = [Dispersive(DispersiveConfig(), backbone=backbone(depth)).intermediates for depth in (1, 4, 12, 28)]
    assert blocks == [("block.1",), ("block.1",), ("block.3",), ("block.7",)]
    options = {"hidden": 8, "heads": 1, "decoder_hidden": 8, "decoder_depth": 2, "decoder_heads": 1}
    ddt = DDT(DDTConfig(depth=10, **options), latent=LATENT, condition=LABELS)
    assert Dispersive(DispersiveConfig(), backbone=ddt).intermediates == ("block.3",)


def test_gather_compares_the_samples_of_all_processes(monkeypatch):
    everyone = torch.randn(6, 3, 8, generator=torch.Generator().manual_seed(3))
    monkeypatch.setattr(dispersive, "gather_rows", lambda own: torch.cat([own, everyone[2:]]))
    own = everyone[:2]
    assert loss_of(own, gather=True).total.item() == pytest.approx(loss_of(everyone).total.item(), rel=1e-6)
    assert loss_of(own).total.item() != pytest.approx(loss_of(everyone).total.item(), rel=1e-2)
