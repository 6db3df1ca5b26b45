"""FlexAttention: the function and gradients of the fused kernel, and where it cannot be used.

torch refuses gradients of FlexAttention on a CPU, although its uncompiled form has them. These tests lift the refusal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

import nanogen_dit.attention
from nanogen_core.errors import Incompatible, NanoGenError
from nanogen_core.specs import ConditionSpec, LatentSpec
from nanogen_core.tensors import Condition, State, Times
from nanogen_dit import flex_attention
from nanogen_dit.attention import Attention, auto, flex, kernel_for
from nanogen_dit.config import DDTConfig, LightningDiTConfig
from nanogen_dit.lightning_dit import LightningDiT
from nanogen_train.logging.flops import FlopCount

Make = Callable[..., Any]


@pytest.fixture
def on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let FlexAttention train on the CPU, uncompiled."""
    monkeypatch.setattr(nanogen_dit.attention, "FLEX_DEVICES", ("cpu",))
    monkeypatch.setattr("torch.nn.attention.flex_attention._validate_device", lambda *tensors: None)
    monkeypatch.setattr(flex_attention, "_compiled", lambda: flex_attention._flex_attention)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("keys", [9, 130])  # one block of keys, and two, of which a short row has one
def test_it_has_the_output_and_the_gradients_of_a_masked_softmax(on_a_cpu: None, keys: int) -> None:
    q, k, v, weight = torch.randn(4, 2, 2, keys, 24).unbind(0)
    inputs = [tensor.requires_grad_() for tensor in (q, k, v)]
    mask = (torch.arange(keys) < torch.tensor([keys, 5])[:, None])[:, None, None]
    scores = torch.einsum("bhid,bhjd->bhij", q, k) / 24**0.5
    expected = torch.einsum("bhij,bhjd->bhid", scores.where(mask, -torch.inf).softmax(-1), v)
    found = flex(q, k, v, mask)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    gradients = [torch.autograd.grad((out * weight).sum(), inputs) for out in (found, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-5)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("compiled", [False, True])
def test_a_network_has_the_output_and_the_gradients_of_the_fused_kernel(
    make: Make, inputs: Make, on_a_cpu: None, monkeypatch: pytest.MonkeyPatch, compiled: bool
) -> None:
    net = make()
    calls: list[Any] = []
    state, times, condition = inputs()
    weight = torch.randn_like(state.latent)

    def derivatives(module: Callable[..., Any]) -> list[Tensor]:
        out = module(state, times, condition).value.latent
        return [out, *torch.autograd.grad((out * weight).sum(), list(net.parameters()))]

    def backend(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable[..., Any]:
        calls.extend(node for node in graph.graph.nodes if node.op == "call_function" and "flex_" in str(node.target))
        return graph.forward

    expected = derivatives(net)
    _use(net, flex)
    if compiled:
        torch._dynamo.reset()
        found = derivatives(torch.compile(net, backend=backend, fullgraph=True))
    else:
        attend = flex_attention._flex_attention
        monkeypatch.setattr(flex_attention, "_compiled", lambda: lambda *args: calls.append(args) or attend(*args))
        found = derivatives(net)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    assert len(calls) == 2  # the encoder's blocks; DDT's decoder has no mask


def test_the_step_that_counts_flops_counts_those_of_the_fused_kernel(make: Make, inputs: Make, on_a_cpu: None) -> None:
    net = make()
    given = inputs()
    counts: list[int] = []
    for kernel in (auto, flex):
        _use(net, kernel)
        with FlopCount() as count:
            net(*given).value.latent.sum().backward()
        counts.append(count.with_gradient)
    assert counts[0] == counts[1] > 0


def test_a_cpu_samples_with_the_fused_kernel_and_cannot_train() -> None:
    q = torch.randn(2, 2, 9, 16)
    mask = (torch.arange(9) < torch.tensor([9, 5])[:, None])[:, None, None]
    assert torch.equal(flex(q, q, q, mask), auto(q, q, q, mask))
    with pytest.raises(NanoGenError, match=r"device 'cpu'. Set backbone.masked_attention: fused."):
        flex(q.requires_grad_(), q, q, mask)
    assert torch.equal(flex(q, q, q, None), auto(q, q, q, None))  # without a mask it is not used


def test_a_plan_for_a_gpu_is_made_on_a_cpu() -> None:
    config = LightningDiTConfig(hidden=32, depth=1, heads=2, masked_attention="flex")
    with FakeTensorMode():
        net = LightningDiT(config, latent=LatentSpec(3, 4, 6, factor=16), condition=ConditionSpec(10, 5, padded=True))
        condition = Condition(torch.zeros(2, 5, 10), torch.ones(2, 5, dtype=torch.bool))
        out = net(State(torch.zeros(2, 3, 4, 6)), Times(torch.zeros(2), torch.zeros(2)), condition).value.latent
        out.sum().backward()
    assert out.shape == (2, 3, 4, 6)


def test_the_option_chooses_the_kernel_of_the_encoder() -> None:
    parts = {"latent": LatentSpec(3, 4, 6, factor=16), "condition": ConditionSpec(10, 5, padded=True)}
    for option, kernel in (("fused", auto), ("flex", flex)):
        net = LightningDiT(LightningDiTConfig(hidden=32, depth=1, heads=2, masked_attention=option), **parts)
        assert {module.kernel for module in net.modules() if isinstance(module, Attention)} == {kernel}
    assert DDTConfig().masked_attention == "fused"


def test_du_dt_needs_the_fused_kernel() -> None:
    with pytest.raises(Incompatible, match=r"needs du/dt. Use `masked_attention: fused`"):
        kernel_for(frozenset({"two-time", "jvp"}), "flex")


def _use(net: nn.Module, kernel: Any) -> None:
    """Give all self-attention the kernel."""
    for module in net.modules():
        if isinstance(module, Attention):
            module.kernel = kernel
