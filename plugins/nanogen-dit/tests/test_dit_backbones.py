"""Both backbones: shapes, independence of samples, times, masks, intermediates, heads, derivatives."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from attrs import evolve

from nanogen_core.errors import Incompatible, NanoGenError
from nanogen_core.protocols import Backbone
from nanogen_core.specs import ConditionSpec, LatentSpec
from nanogen_core.tensors import Condition, State, Times
from nanogen_core.testing import BackboneContract
from nanogen_dit.attention import Attention, auto
from nanogen_dit.config import DDTConfig, LightningDiTConfig
from nanogen_dit.ddt import DDT
from nanogen_dit.embeddings import GUIDANCE, UNGUIDED
from nanogen_dit.fused_attention import fused_attention, plain_attention
from nanogen_dit.lightning_dit import LightningDiT
from nanogen_dit.published.importer import export_published

Make = Callable[..., Any]
LATENT = LatentSpec(3, 4, 6, factor=16)
WITH_TOKEN = evolve(LATENT, cls_token_width=7)
LABEL = ConditionSpec(width=6, length=1, learned=3)
TEXT = ConditionSpec(width=10, length=5, normalize=True, padded=True)

ABLE = frozenset({"two-time", "cfg-conditioned", "features", "internal-head", "jvp"})


class TestLightningDiT(BackboneContract):
    provides = ABLE

    @pytest.fixture
    def build(self) -> Make:
        return partial(LightningDiT, LightningDiTConfig(hidden=32, depth=2, heads=2), wanted=ABLE)


class TestDDT(BackboneContract):
    provides = ABLE

    @pytest.fixture
    def build(self) -> Make:
        config = DDTConfig(hidden=32, depth=2, heads=2, decoder_hidden=48, decoder_depth=1, decoder_heads=3)
        return partial(DDT, config, wanted=ABLE)


class TestSummedLightningDiT(BackboneContract):
    provides = ABLE

    @pytest.fixture
    def build(self) -> Make:
        config = LightningDiTConfig(hidden=32, depth=2, heads=2, interval="sum")
        return partial(LightningDiT, config, wanted=ABLE)


class TestSummedDDT(BackboneContract):
    provides = ABLE

    @pytest.fixture
    def build(self) -> Make:
        sizes = {"hidden": 32, "depth": 2, "heads": 2, "decoder_hidden": 48, "decoder_depth": 1, "decoder_heads": 3}
        return partial(DDT, DDTConfig(**sizes, interval="sum"), wanted=ABLE)


def test_the_published_layout_has_no_name_for_a_summed_interval() -> None:
    config = LightningDiTConfig(hidden=32, depth=1, heads=2, interval="sum")
    net = LightningDiT(config, latent=LATENT, condition=LABEL, wanted=frozenset({"two-time"}))
    with pytest.raises(Incompatible, match=r"no name for 'encoder.interval.*with `backbone.interval: tokens`"):
        export_published(net)


def test_it_is_a_backbone_with_the_shapes_of_its_state(make: Make, inputs: Make) -> None:
    net = make(WITH_TOKEN)
    state, times, condition = inputs(WITH_TOKEN)
    value = net(state, times, condition).value
    assert isinstance(net, Backbone)
    assert value.latent.shape == state.latent.shape
    assert value.cls_token.shape == state.cls_token.shape
    assert value.latent.dtype == torch.float64


def test_the_patch_size_is_derived_from_the_latent(make: Make) -> None:
    assert make(LatentSpec(3, 4, 6, factor=8)).geometry.grid == (2, 3)
    assert make(LatentSpec(3, 32, 32, factor=1)).geometry.grid == (2, 2)


def test_it_starts_at_zero_but_its_gradient_does_not() -> None:
    for net in (
        LightningDiT(LightningDiTConfig(size="tiny"), latent=LATENT, condition=LABEL),
        DDT(DDTConfig(size="tiny"), latent=LATENT, condition=LABEL),
    ):
        t = torch.tensor([0.3, 0.7])
        one_hot = Condition(F.one_hot(torch.tensor([0, 5]), 6).float()[:, None])
        value = net(State(torch.randn(2, 3, 4, 6)), Times(t, t), one_hot).value.latent
        assert not value.any()
        (value - 1).square().mean().backward()
        assert any(p.grad is not None and p.grad.any() for p in net.parameters())


def test_samples_do_not_see_each_other(make: Make, inputs: Make) -> None:
    net = make()
    state, times, condition = inputs()
    whole = net(state, times, condition).value.latent
    for n in range(3):
        row = slice(n, n + 1)
        alone = net(
            State(state.latent[row]),
            Times(times.t[row], times.r[row]),
            Condition(condition.tokens[row], condition.mask[row]),
        )
        assert torch.allclose(alone.value.latent, whole[row])


def test_masked_tokens_have_no_effect(make: Make, inputs: Make) -> None:
    net = make()
    state, times, condition = inputs()
    before = net(state, times, condition).value.latent
    noise = torch.randn_like(condition.tokens)
    leaky = Condition(torch.where(condition.mask[..., None], condition.tokens, noise), condition.mask)
    assert torch.equal(net(state, times, leaky).value.latent, before)
    other = Condition(torch.where(condition.mask[..., None], noise, condition.tokens), condition.mask)
    assert not torch.allclose(net(state, times, other).value.latent, before)


@pytest.mark.parametrize("kernel", [fused_attention, plain_attention, auto], ids=lambda kernel: kernel.__name__)
@pytest.mark.parametrize("wanted", [(), ("two-time", "jvp")], ids=["one time", "two times"])
def test_tokens_of_a_null_text_are_no_keys(make: Make, inputs: Make, wanted: tuple[str, ...], kernel: Any) -> None:
    """An all-false mask equals a condition without tokens, alone and in a batch with other rows."""
    net = make(wanted=wanted)
    for module in net.modules():
        if isinstance(module, Attention):
            module.kernel = kernel
    state, times, condition = inputs()
    none = net(state, times, Condition(condition.tokens[:, :0])).value.latent
    null = condition._replace(mask=torch.zeros_like(condition.mask))
    torch.testing.assert_close(net(state, times, null).value.latent, none)
    mixed = condition._replace(mask=condition.mask & torch.tensor([[True], [False], [True]]))
    found = net(state, times, mixed).value.latent
    torch.testing.assert_close(found[1], none[1])
    torch.testing.assert_close(found[[0, 2]], net(state, times, condition).value.latent[[0, 2]])


def test_a_null_text_has_the_derivative_of_no_text(make: Make, inputs: Make) -> None:
    net = make(wanted=("two-time", "jvp"))
    state, times, condition = inputs()

    def slope(given: Condition) -> torch.Tensor:
        def at(t: torch.Tensor) -> torch.Tensor:
            value: torch.Tensor = net(state, Times(t, times.r), given).value.latent
            return value

        tangent: torch.Tensor = torch.func.jvp(at, (times.t,), (torch.ones_like(times.t),))[1]
        return tangent

    null = condition._replace(mask=torch.zeros_like(condition.mask))
    torch.testing.assert_close(slope(null), slope(Condition(condition.tokens[:, :0])))


def test_a_null_text_under_autocast(make: Make, inputs: Make) -> None:
    net = make().float()
    state, times, condition = inputs()
    single = State(state.latent.float()), Times(times.t.float(), times.r.float())
    null = Condition(condition.tokens.float(), torch.zeros_like(condition.mask))
    with torch.autocast("cpu", torch.bfloat16):
        value = net(*single, null).value.latent
    exact = net(*single, Condition(null.tokens[:, :0])).value.latent
    assert (value - exact).norm() < 0.1 * exact.norm()


def test_padding_can_be_trimmed_and_full_texts_need_no_mask(make: Make, inputs: Make) -> None:
    net = make()
    state, times, condition = inputs()
    first = State(state.latent[2:]), Times(times.t[2:], times.r[2:])
    padded = net(*first, Condition(condition.tokens[2:], condition.mask[2:])).value.latent
    assert torch.allclose(net(*first, Condition(condition.tokens[2:, :2])).value.latent, padded)


def test_a_class_is_a_row_of_the_projection_added_to_the_learned_tokens(make: Make) -> None:
    embedding = make(condition=LABEL).encoder.condition
    one_hot = F.one_hot(torch.tensor([4]), 6).double()[:, None]
    assert torch.allclose(embedding(one_hot)[0], embedding.proj.weight[:, 4] + embedding.learned)


def test_without_two_times_r_is_unused(make: Make, inputs: Make) -> None:
    net = make()
    state, times, condition = inputs()
    assert torch.equal(
        net(state, times, condition).value.latent, net(state, Times(times.t, times.t), condition).value.latent
    )
    assert not torch.allclose(
        net(state, times, condition).value.latent, net(state, Times(times.r, times.r), condition).value.latent
    )


def test_with_two_times_t_and_r_are_used(make: Make, inputs: Make) -> None:
    net = make(wanted=("two-time",))
    state, times, condition = inputs()
    outputs = [
        net(state, Times(t, r), condition).value.latent
        for t, r in ((times.t, times.r), (times.t, times.t), (times.r, times.r))
    ]
    assert not torch.allclose(outputs[0], outputs[1])
    assert not torch.allclose(outputs[1], outputs[2])


def test_the_first_of_two_times_is_the_interval(make: Make, inputs: Make) -> None:
    encoder = make(wanted=("two-time",)).encoder
    state, times, condition = inputs()
    assert torch.allclose(encoder(state, times, condition).time[:, 0], encoder.time(times.t - times.r))


def _guided(condition: Condition) -> Condition:
    return condition._replace(
        extras={"guidance": torch.tensor([[0.9, 0.1, 0.6], [0.5, 0.4, 1.0], [0.2, 0.0, 0.8]]).double()}
    )


def test_every_guidance_input_is_used(make: Make, inputs: Make) -> None:
    net = make(wanted=("two-time", "cfg-conditioned"))
    state, times, condition = inputs()
    before = net(state, times, _guided(condition)).value.latent
    for number in range(len(GUIDANCE)):
        other = _guided(condition)
        other.extras["guidance"][:, number] += 0.05
        assert not torch.allclose(net(state, times, other).value.latent, before, rtol=1e-3)


def test_no_guidance_is_a_scale_of_one(make: Make, inputs: Make) -> None:
    net = make(wanted=("cfg-conditioned",))
    state, times, condition = inputs()
    nothing = condition._replace(extras={"guidance": torch.tensor([UNGUIDED] * 3)})
    assert torch.equal(net(state, times, condition).value.latent, net(state, times, nothing).value.latent)


def test_guidance_is_unused_without_its_capability_word(make: Make, inputs: Make) -> None:
    net = make()
    state, times, condition = inputs()
    assert torch.equal(net(state, times, condition).value.latent, net(state, times, _guided(condition)).value.latent)


def test_each_sample_has_its_own_guidance(make: Make, inputs: Make) -> None:
    net = make(wanted=("two-time", "cfg-conditioned"))
    state, times, condition = inputs()
    whole = net(state, times, _guided(condition)).value.latent
    for n in range(3):
        parts = (State(state.latent[n : n + 1]), Times(times.t[n : n + 1], times.r[n : n + 1]))
        row = _guided(condition).map(lambda x, n=n: x[n : n + 1])
        assert torch.allclose(net(*parts, row).value.latent, whole[n])


def test_guidance_has_tokens_before_the_condition(make: Make, inputs: Make) -> None:
    """4 tokens for 1 - 1/w, 2 for t_min and 2 for t_max, beside the 4 of the time. Padding stays masked."""
    conditioned, plain = make(wanted=("cfg-conditioned",)).encoder, make().encoder
    assert len(conditioned.rope.cos) - len(plain.rope.cos) == conditioned.guidance.length == 8
    state, times, condition = inputs()
    noise = torch.where(condition.mask[..., None], condition.tokens, torch.randn_like(condition.tokens))
    outputs = [
        conditioned(state, times, _guided(condition._replace(tokens=x))).tokens for x in (condition.tokens, noise)
    ]
    assert torch.equal(*outputs)


def test_intermediates_are_block_outputs(make: Make, inputs: Make) -> None:
    net = make(WITH_TOKEN)
    state, times, condition = inputs(WITH_TOKEN)
    seen: list[torch.Tensor] = []
    net.encoder.blocks[1].register_forward_hook(lambda *call: seen.append(call[-1]))
    features = net(state, times, condition, ("block.2", "block.2.cls_token")).features
    assert torch.equal(features["block.2"], seen[0][:, 1:25])
    assert torch.equal(features["block.2.cls_token"], seen[0][:, 0])


def test_decoder_blocks_follow_encoder_blocks(inputs: Make) -> None:
    config = DDTConfig(hidden=32, depth=2, heads=2, decoder_hidden=48, decoder_depth=1, decoder_heads=3)
    net = DDT(config, latent=LATENT, condition=ConditionSpec(width=10, length=5, normalize=True)).double()
    assert net(*inputs(), ("block.3",)).features["block.3"].shape == (3, 24, 48)


@pytest.mark.parametrize("name", ["block.0", "block.9", "block.x", "norm.1", "block.1.cls_token"])
def test_an_unknown_intermediate_is_an_error(make: Make, inputs: Make, name: str) -> None:
    with pytest.raises(NanoGenError, match=f"no intermediate '{name}'. Use 'block.1'"):
        make()(*inputs(), (name,))


def test_the_internal_head_returns_the_same_shape_and_ends_early(make: Make, inputs: Make) -> None:
    net = make(wanted=("internal-head",))
    state, times, condition = inputs()
    prediction = net(state, times, condition)
    assert prediction.heads["internal"].latent.shape == state.latent.shape
    with torch.no_grad():
        net.encoder.blocks[1].mlp.w3.bias += 1  # after the first block, which the head reads
    after = net(state, times, condition)
    assert torch.equal(after.heads["internal"].latent, prediction.heads["internal"].latent)
    assert not torch.allclose(after.value.latent, prediction.value.latent)


def test_forward_mode_and_double_backward_agree_with_finite_differences(make: Make, inputs: Make) -> None:
    net = make(wanted=("two-time", "jvp"))
    state, times, condition = inputs()
    direction = torch.randn_like(state.latent)

    def along(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        value: torch.Tensor = net(State(x), Times(t, times.r), condition).value.latent
        return value

    ones = torch.ones_like(times.t)
    _, tangent = torch.func.jvp(along, (state.latent, times.t), (direction, ones))
    step = 1e-6
    ahead, behind = (along(state.latent + s * direction, times.t + s) for s in (step, -step))
    assert torch.allclose(tangent, (ahead - behind) / (2 * step), rtol=1e-5, atol=1e-5)
    x, t = state.latent.clone().requires_grad_(), times.t.clone().requires_grad_()
    dummy = torch.zeros_like(x, requires_grad=True)
    gradients = torch.autograd.grad(along(x, t), (x, t), dummy, create_graph=True)
    weighted = (gradients[0] * direction).sum() + gradients[1].sum()
    (twice,) = torch.autograd.grad(weighted, dummy)
    assert torch.allclose(twice, tangent)


def test_a_jvp_has_gradients(make: Make, inputs: Make) -> None:
    net = make(wanted=("two-time", "jvp"))
    state, times, condition = inputs()

    def at(t: torch.Tensor) -> torch.Tensor:
        value: torch.Tensor = net(state, Times(t, times.r), condition).value.latent
        return value

    _, tangent = torch.func.jvp(at, (times.t,), (torch.ones_like(times.t),))
    tangent.square().mean().backward()
    assert all(p.grad is not None for p in net.encoder.second_time.parameters())


def test_autocast_returns_the_dtype_of_the_state(make: Make, inputs: Make) -> None:
    net = make().float()
    state, times, condition = inputs()
    single = State(state.latent.float()), Times(times.t.float(), times.r.float())
    with torch.autocast("cpu", torch.bfloat16):
        value = net(*single, Condition(condition.tokens.float(), condition.mask)).value.latent
    assert value.dtype == torch.float32
    exact = net(*single, Condition(condition.tokens.float(), condition.mask)).value.latent
    assert (value - exact).norm() < 0.1 * exact.norm()


def test_it_can_be_traced_as_one_graph(make: Make, inputs: Make) -> None:
    net = make(wanted=("internal-head",))
    state, times, condition = inputs()
    compiled = torch.compile(net, fullgraph=True, backend="eager")
    assert torch.allclose(
        compiled(state, times, condition, ("block.1",)).value.latent, net(state, times, condition).value.latent
    )


def test_padding_that_is_taken_away_does_not_change_the_output(make: Make, inputs: Make) -> None:
    state, times, condition = inputs()
    longer = Condition(F.pad(condition.tokens, (0, 0, 0, 4), value=9.0), F.pad(condition.mask, (0, 4)))
    net = make(condition=evolve(TEXT, length=9))
    short = Condition(longer.tokens[:, :5], longer.mask[:, :5])
    torch.testing.assert_close(net(state, times, short).value.latent, net(state, times, longer).value.latent)
