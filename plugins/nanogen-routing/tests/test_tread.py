"""TREAD against a route by attention masks; selection, modes, derivatives and options."""

from __future__ import annotations

import attrs
import pytest
import torch
from routing_reference import (
    DECODER,
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

from nanogen_core.errors import ConfigError, Incompatible
from nanogen_core.specs import LatentSpec
from nanogen_core.tensors import Times
from nanogen_dit import DDT, DDTConfig, LightningDiT, LightningDiTConfig
from nanogen_routing import TreadDDT, TreadDDTConfig, TreadLightningDiT, TreadLightningDiTConfig

BLOCKS = tuple(f"block.{number}" for number in range(1, 6))


@pytest.mark.parametrize("selection", ["random", "groups"])
@pytest.mark.parametrize("condition", [LABEL, TEXT], ids=["label", "text"])
@pytest.mark.parametrize("latent", [LATENT, WITH_TOKEN], ids=["plain", "class token"])
def test_the_route_is_that_of_masked_attention(tread, latent, condition, selection):
    """Rotation, key mask, class token, times and condition belong to the tokens that are left."""
    net = tread(latent, condition, wanted=("two-time", "cfg-conditioned"), selection=selection)
    encoder, positions = net.encoder, recorded(net.encoder)
    given = inputs(latent, condition)
    encoded = encoder(*given, {1, 2, 3, 4, 5})
    embedded = encoder.embed(*given)
    x = embedded.tokens
    everything = torch.ones(x.shape[:2], dtype=torch.bool)
    kept = is_kept(positions[0], x.shape[1])
    assert kept.sum(dim=1).tolist() == [x.shape[1] - 8] * len(x)
    expected = {}
    for numbers, among in ((range(1, 2), everything), (range(2, 5), kept), (range(5, 6), everything)):
        expected |= masked_blocks(encoder, x, numbers, embedded, among)
        x = expected[numbers[-1]]
    torch.testing.assert_close(encoded.outputs, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(encoded.tokens, x[:, : encoder.geometry.length], rtol=1e-4, atol=1e-5)


def test_the_tokens_that_skip_keep_their_values_in_every_intermediate(tread):
    net = tread()
    positions = recorded(net.encoder)
    features = net(*inputs(), intermediates=BLOCKS).features
    skipped = ~is_kept(positions[0], 16)
    before = features["block.1"]
    for name in BLOCKS[1:4]:
        same = (features[name] == before).all(dim=2)
        assert torch.equal(same, skipped)
    assert not (features["block.5"] == before).all(dim=2).any()


@pytest.mark.parametrize("share", [0.0, 0.25, 0.6, 0.75])
def test_every_token_is_equally_likely_and_samples_differ(tread, share):
    net = tread(share=share)
    positions = recorded(net.encoder)
    torch.manual_seed(3)
    x = net.encoder.embed(*inputs(rows=4)).tokens.repeat(500, 1, 1)
    net.encoder.kept(x)
    if not share:
        assert positions == [None]
        return
    kept = is_kept(positions[0], x.shape[1])
    count = 16 - int(16 * share)
    assert kept[:, 16:].all()  # times and text
    assert (kept[:, :16].sum(dim=1) == count).all()
    assert kept[:, :16].unique(dim=0).shape[0] > 100
    expected, deviation = 2000 * count / 16, (2000 * count / 16 * (1 - count / 16)) ** 0.5
    assert (kept[:, :16].sum(dim=0) - expected).abs().max() < 5 * deviation
    assert torch.equal(positions[0], positions[0].sort(dim=1).values)


@pytest.mark.parametrize(("share", "each"), [(0.25, 3), (0.5, 2), (0.75, 1)])
def test_groups_keep_equally_many_of_each_two_by_two_neighbours(share, each):
    latent = LatentSpec(3, 8, 12, factor=8)  # 4 x 6 tokens
    config = TreadLightningDiTConfig(**SIZES, share=share, selection="groups")
    encoder = TreadLightningDiT(config, latent=latent, condition=LABEL).encoder
    torch.manual_seed(4)
    kept = is_kept(encoder.kept(torch.zeros(400, 30, 32)), 30)
    assert kept[:, 24:].all()
    grid = kept[:, :24].reshape(400, 4, 6)
    for row in (0, 2):
        for column in (0, 2, 4):
            group = grid[:, row : row + 2, column : column + 2]
            assert (group.sum(dim=(1, 2)) == each).all()
            assert group.flatten(1).unique(dim=0).shape[0] == (6 if each == 2 else 4)


def test_the_same_seed_draws_the_same_tokens_and_evaluation_draws_none(tread):
    net, given = tread(), inputs()
    values = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        values.append(net(*given).value.latent)
    assert torch.equal(values[0], values[1])
    assert not torch.equal(values[0], values[2])
    positions = recorded(net.eval().encoder)
    net(*given)
    assert positions == [None]


@pytest.mark.parametrize(
    ("routed", "options", "plain", "plain_config"),
    [
        (TreadLightningDiT, TreadLightningDiTConfig(**SIZES), LightningDiT, LightningDiTConfig),
        (TreadDDT, TreadDDTConfig(**SIZES, **DECODER), DDT, DDTConfig),
    ],
    ids=["lightning-dit", "ddt"],
)
def test_in_evaluation_it_is_the_plain_network_with_the_same_weights(routed, options, plain, plain_config):
    known = {field.name for field in attrs.fields(plain_config)}
    sizes = {name: value for name, value in {**SIZES, **DECODER}.items() if name in known}
    net = routed(options, latent=WITH_TOKEN, condition=TEXT)
    other = plain(plain_config(**sizes), latent=WITH_TOKEN, condition=TEXT)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    other.load_state_dict(net.state_dict())
    given = inputs(WITH_TOKEN)
    found, expected = net.eval()(*given).value, other(*given).value
    assert torch.equal(found.latent, expected.latent)
    assert torch.equal(found.cls_token, expected.cls_token)
    without = routed(attrs.evolve(options, share=0.0), latent=WITH_TOKEN, condition=TEXT)
    without.load_state_dict(net.state_dict())
    assert torch.equal(without.train()(*given).value.latent, expected.latent)


def test_the_derivative_by_time_is_that_of_the_same_tokens(tread):
    """Forward mode in training, against central differences that draw the same tokens."""
    net = tread(wanted=("two-time", "jvp")).double()
    state, times, condition = inputs()
    state, times = state.map(torch.Tensor.double), times.map(torch.Tensor.double)
    condition = condition._replace(tokens=condition.tokens.double())

    def at(t):
        torch.manual_seed(5)
        return net(state, Times(t, times.r), condition).value.latent

    slope = torch.func.jvp(at, (times.t,), (torch.ones_like(times.t),))[1]
    step = 1e-5
    torch.testing.assert_close(slope, (at(times.t + step) - at(times.t - step)) / (2 * step), rtol=1e-4, atol=1e-6)


def test_skipped_tokens_send_no_gradient_into_the_route(tread):
    net = tread(condition=LABEL)
    positions = recorded(net.encoder)
    embedded = net.encoder.embed(*inputs(condition=LABEL))
    x = embedded.tokens.detach().requires_grad_()
    out = net.encoder.run_blocks(x, range(2, 5), embedded, set(), {}, kept=net.encoder.kept(x))
    (out * torch.randn_like(out)).sum().backward()
    skipped = ~is_kept(positions[0], x.shape[1])
    net.zero_grad()
    again = x.detach().requires_grad_()
    weight = torch.where(skipped[..., None], torch.randn_like(out), 0.0)
    (net.encoder.run_blocks(again, range(2, 5), embedded, set(), {}, kept=positions[0]) * weight).sum().backward()
    assert all(p.grad is None or not p.grad.any() for p in net.encoder.blocks.parameters())
    torch.testing.assert_close(again.grad, weight)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"route_to": 6}, "route_from, route_to: the route must lie in blocks 1 to .* got blocks 2 to 6"),
        ({"route_from": 5, "route_to": 4}, "and not end before it starts, got blocks 5 to 4"),
        ({"share": 1.0}, "share: must be at least 0 and below 1"),
        ({"share": 0.3, "selection": "groups"}, "share: must be 0, 0.25, 0.5 or 0.75"),
    ],
)
def test_wrong_options_are_errors(options, message):
    for config, more in ((TreadLightningDiTConfig, {}), (TreadDDTConfig, DECODER)):
        with pytest.raises((ConfigError, ValueError), match=message):
            config(**{**SIZES, **more, **options})


def test_groups_need_an_even_grid():
    config = TreadLightningDiTConfig(**SIZES, selection="groups")
    with pytest.raises(Incompatible, match="3 x 4 tokens cannot be cut into 2 x 2 groups"):
        TreadLightningDiT(config, latent=LatentSpec(3, 6, 8, factor=8), condition=LABEL)


def test_the_default_route_is_that_of_the_public_code_for_twelve_blocks():
    routes = {depth: TreadLightningDiTConfig(hidden=16, heads=1, depth=depth).route for depth in (1, 2, 4, 6, 12, 28)}
    assert routes[12] == range(3, 10)
    assert routes[28] == range(3, 26)
    assert all(1 <= route.start <= route.stop - 1 <= depth for depth, route in routes.items())
