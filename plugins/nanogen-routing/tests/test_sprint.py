"""SPRINT against its paths computed by attention masks; path-drop, its guidance, and full-token fine-tuning."""

from __future__ import annotations

import pytest
import torch
from routing_reference import (
    LABEL,
    LATENT,
    SIZES,
    TEXT,
    WITH_TOKEN,
    inputs,
    is_kept,
    masked_blocks,
    recorded,
)
from torch import nn

from nanogen_core.sampling import velocity_field
from nanogen_core.specs import LatentSpec
from nanogen_core.tensors import Condition, SharedTimes, Times
from nanogen_dit import LightningDiT, LightningDiTConfig
from nanogen_flow import Flow, FlowConfig
from nanogen_routing import PathDrop, PathDropConfig, SprintLightningDiT, SprintLightningDiTConfig
from nanogen_routing.sprint import PATH_DROP, SHALLOW
from tests.waits import waits

ALL = {1, 2, 3, 4, 5}


def reference(encoder, given, kept, dropped):
    """Return the outputs of all blocks, with `kept` [B, S] tokens in the deep path of the samples not in `dropped`."""
    embedded = encoder.embed(*given)
    everything = torch.ones(embedded.tokens.shape[:2], dtype=torch.bool)
    outputs = masked_blocks(encoder, embedded.tokens, range(1, 2), embedded, everything)
    shallow = outputs[1]
    outputs |= masked_blocks(encoder, shallow, range(2, 5), embedded, kept)
    deep = outputs[4].clone()
    deep[~kept] = encoder.mask_token
    deep[dropped] = encoder.mask_token
    weight, bias = encoder.fusion.weight, encoder.fusion.bias
    width = shallow.shape[2]
    fused = deep @ weight[:, :width].T + shallow @ weight[:, width:].T + bias
    return outputs | masked_blocks(encoder, fused, range(5, 6), embedded, everything)


@pytest.mark.parametrize("selection", ["random", "groups"])
@pytest.mark.parametrize("condition", [LABEL, TEXT], ids=["label", "text"])
@pytest.mark.parametrize("latent", [LATENT, WITH_TOKEN], ids=["plain", "class token"])
def test_the_paths_are_those_of_masked_attention(sprint, latent, condition, selection):
    net = sprint(latent, condition, wanted=("two-time", "cfg-conditioned"), selection=selection, path_drop=0.0)
    positions, given = recorded(net.encoder), inputs(latent, condition)
    encoded = net.encoder(*given, ALL)
    kept = is_kept(positions[0], encoded.outputs[1].shape[1])
    assert (~kept).sum(dim=1).tolist() == [12] * 4
    expected = reference(net.encoder, given, kept, torch.zeros(4, dtype=torch.bool))
    torch.testing.assert_close(encoded.outputs, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(encoded.tokens, expected[5][:, : net.geometry.length], rtol=1e-4, atol=1e-5)


def test_evaluation_fuses_all_tokens(sprint):
    net = sprint().eval()
    given = inputs()
    encoded = net.encoder(*given, ALL)
    everything = torch.ones(encoded.outputs[1].shape[:2], dtype=torch.bool)
    expected = reference(net.encoder, given, everything, torch.zeros(4, dtype=torch.bool))
    torch.testing.assert_close(encoded.outputs, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("training", [False, True])
def test_the_deep_path_of_some_samples_is_dropped(sprint, training):
    net = sprint(share=0.0).train(training)
    state, times, condition = inputs()
    dropped = torch.tensor([True, False, False, True])
    given = state, times, condition._replace(extras={PATH_DROP: dropped})
    encoded = net.encoder(*given, ALL)
    everything = torch.ones(encoded.outputs[1].shape[:2], dtype=torch.bool)
    torch.testing.assert_close(
        encoded.outputs, reference(net.encoder, given, everything, dropped), rtol=1e-4, atol=1e-5
    )


def test_training_drops_paths_at_random_with_their_probability(sprint):
    net = sprint(path_drop=0.25)
    condition = Condition(torch.zeros(4000, 1, 1))
    torch.manual_seed(0)
    dropped = net.encoder._dropped(condition)
    assert abs(dropped.float().mean() - 0.25) < 5 * (0.25 * 0.75 / 4000) ** 0.5
    assert net.eval().encoder._dropped(condition) is None
    assert sprint(path_drop=0.0).encoder._dropped(condition) is None


def test_without_the_deep_path_its_blocks_do_not_run(sprint):
    net = sprint().eval()
    ran = []
    for number, block in enumerate(net.encoder.blocks, start=1):
        block.register_forward_hook(lambda *_, number=number: ran.append(number))
    state, times, condition = inputs()
    every = torch.ones(4, dtype=torch.bool)
    given = state, times, condition._replace(extras={PATH_DROP: every, SHALLOW: every})
    features = net(*given, intermediates=("block.1", "block.3", "block.5")).features
    assert ran == [1, 5]
    assert torch.equal(features["block.3"], features["block.1"])  # the tokens keep their values before the route
    mixed = condition._replace(extras={PATH_DROP: torch.tensor([True, True, True, False])})
    rows = [net(state, times, c).value.latent[:3] for c in (given[2], mixed)]
    torch.testing.assert_close(*rows, rtol=1e-4, atol=1e-5)


def test_the_mask_token_is_fixed_saved_and_small(sprint):
    encoder = sprint().encoder
    assert "mask_token" in encoder.state_dict()
    assert "mask_token" not in dict(encoder.named_parameters())
    torch.manual_seed(0)
    config = SprintLightningDiTConfig(hidden=2048, heads=2, depth=1)
    token = SprintLightningDiT(config, latent=LATENT, condition=LABEL).encoder.mask_token
    assert token.std().item() == pytest.approx(0.02, rel=0.1)


def test_fine_tuning_on_all_tokens_starts_from_the_same_weights(sprint):
    """Stage 2 has `share: 0`: in training it computes what stage 1 computes in evaluation, but for dropped paths."""
    first, second = sprint(), sprint(share=0.0, path_drop=0.0)
    for parameter in first.parameters():
        nn.init.normal_(parameter, std=0.2)
    second.load_state_dict(first.state_dict())
    given = inputs()
    expected = first.eval()(*given).value.latent
    assert torch.equal(second.train()(*given).value.latent, expected)


def test_the_fusion_is_the_only_part_that_lightning_dit_lacks():
    plain = {name: value for name, value in SIZES.items() if not name.startswith("route")}
    other = LightningDiT(LightningDiTConfig(**plain), latent=LATENT, condition=TEXT)
    net = SprintLightningDiT(SprintLightningDiTConfig(**SIZES), latent=LATENT, condition=TEXT)
    assert set(net.state_dict()) - set(other.state_dict()) == {
        "encoder.fusion.weight",
        "encoder.fusion.bias",
        "encoder.mask_token",
    }


def test_the_derivative_by_time_is_that_of_the_same_tokens(sprint):
    net = sprint(wanted=("two-time", "jvp"), path_drop=0.5).double()
    state, times, condition = inputs()
    state, times = state.map(torch.Tensor.double), times.map(torch.Tensor.double)
    condition = condition._replace(tokens=condition.tokens.double())

    def at(t):
        torch.manual_seed(5)
        return net(state, Times(t, times.r), condition).value.latent

    slope = torch.func.jvp(at, (times.t,), (torch.ones_like(times.t),))[1]
    step = 1e-5
    torch.testing.assert_close(slope, (at(times.t + step) - at(times.t - step)) / (2 * step), rtol=1e-4, atol=1e-6)


def test_path_drop_guidance_leads_away_from_the_shallow_unconditional_path(sprint, monkeypatch):
    net = sprint(condition=TEXT).eval()
    state, _, condition = inputs()
    t = torch.full((4,), 0.6)
    times = SharedTimes.of(t, t, (0.6, 0.6))
    null = Condition(torch.zeros(4, 1, 10), torch.zeros(4, 1, dtype=torch.bool))
    field = velocity_field(Flow(FlowConfig(), latent=LatentSpec(3, 8, 8)), net)
    guided = PathDrop(PathDropConfig(scale=2.5)).wrap(field, null)
    with torch.no_grad():
        with waits(monkeypatch) as waiting:
            found = guided(state, times, condition).value.latent
        assert waiting == []
        full = net(state, times, condition).value.latent
        every = torch.ones(4, dtype=torch.bool)
        shallow = net(state, times, null._replace(extras={PATH_DROP: every})).value.latent
        outside = PathDrop(PathDropConfig(t_max=0.5)).wrap(field, null)(state, times, condition).value.latent
    torch.testing.assert_close(found, shallow + 2.5 * (full - shallow))
    assert (full - shallow).abs().max() > 1e-3
    assert torch.equal(outside, full)


def test_the_default_paths_are_those_of_the_paper():
    config = SprintLightningDiTConfig()
    assert (config.trunk.depth, config.route) == (28, range(3, 27))  # 2, 24 and 2 blocks
    assert (config.share, config.selection, config.path_drop) == (0.75, "groups", 0.1)
