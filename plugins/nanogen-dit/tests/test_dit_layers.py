"""Layers against independent implementations."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

import nanogen_dit.fused_attention
from nanogen_core.specs import LatentSpec
from nanogen_dit.attention import Attention, Kernel, auto, differentiable, kernel_for
from nanogen_dit.config import Trunk
from nanogen_dit.embeddings import TimeEmbedding, patchify, unpatchify
from nanogen_dit.fused_attention import TwiceDifferentiable, fused_attention, padded_keys, plain_attention
from nanogen_dit.geometry import Geometry
from nanogen_dit.layers import RMSNorm, SwiGLU
from nanogen_dit.rope import RoPE, Rotation, rotate


def test_rotation_is_complex_multiplication() -> None:
    height, width, head = 3, 4, 8
    x = torch.randn(2, height * width, 1, head).double()
    ours = rotate(x, Rotation(*(table.double() for table in RoPE((height, width), head)(height * width))))
    for row in range(height):
        for column in range(width):
            for pair in range(head // 2):
                position, index = (row, pair) if pair < head // 4 else (column, pair - head // 4)
                turn = torch.polar(
                    torch.tensor(1.0).double(), torch.tensor(position * 10_000 ** (-2 * index / (head / 2))).double()
                )
                n = row * width + column
                expected = torch.complex(x[:, n, 0, pair], x[:, n, 0, pair + head // 2]) * turn
                assert torch.allclose(ours[:, n, 0, pair], expected.real, atol=1e-6)
                assert torch.allclose(ours[:, n, 0, pair + head // 2], expected.imag, atol=1e-6)


def test_scores_depend_only_on_relative_positions() -> None:
    rotation = RoPE((5, 5), 16)(25)
    q, k = (rotate(torch.randn(16).expand(1, 25, 1, 16), rotation)[0, :, 0] for _ in range(2))
    scores = (q @ k.T).reshape(5, 5, 5, 5)  # [row, column] of q, then of k
    assert torch.allclose(scores[1, 2, 3, 1], scores[2, 3, 4, 2], atol=1e-4)
    assert not torch.allclose(scores[1, 2, 3, 1], scores[2, 3, 4, 3], atol=1e-2)


def test_tokens_without_a_position_are_not_rotated() -> None:
    rotation = RoPE((2, 2), 8, before=1, after=3)(8)
    x = torch.randn(1, 8, 2, 8)
    turned = rotate(x, rotation)
    assert torch.equal(turned[:, [0, 1, 5, 6, 7]], x[:, [0, 1, 5, 6, 7]])  # 1 is the image's corner, at position 0, 0
    assert not torch.allclose(turned[:, 2:5], x[:, 2:5])


@pytest.mark.parametrize("masked", [False, True])
def test_attention_kernels_agree(masked: bool) -> None:
    q, k, v = torch.randn(3, 2, 4, 9, 16).double().unbind(0)
    mask = torch.arange(9) < torch.tensor([9, 5])[:, None] if masked else None
    mask = None if mask is None else mask[:, None, None]
    weights = torch.einsum("bhid,bhjd->bhij", q, k) / 4
    if mask is not None:
        weights = weights.where(mask, -torch.inf)
    expected = torch.einsum("bhij,bhjd->bhid", weights.exp() / weights.exp().sum(-1, keepdim=True), v)
    for kernel in (plain_attention, fused_attention, auto, differentiable, TwiceDifferentiable.apply):
        assert torch.allclose(kernel(q, k, v, mask), expected)


def test_auto_is_plain_for_bf16_on_a_cpu() -> None:
    q = torch.randn(2, 2, 9, 16).bfloat16()
    assert torch.equal(auto(q, q, q, None), plain_attention(q, q, q, None))
    assert torch.allclose(auto(q, q, q, None).float(), fused_attention(q, q, q, None).float(), atol=2e-2)
    assert kernel_for(frozenset({"jvp"})) is differentiable


def test_padded_keys_change_nothing() -> None:
    q, k, v = torch.randn(3, 2, 4, 9, 16).double().unbind(0)
    mask = (torch.arange(9) < torch.tensor([9, 5])[:, None])[:, None, None]
    longer = padded_keys(k, v, mask, 7)
    assert longer[0].shape == longer[1].shape == (2, 4, 16, 16)
    assert longer[2].shape == (2, 1, 1, 16)
    torch.testing.assert_close(fused_attention(q, *longer), fused_attention(q, k, v, mask))


@pytest.mark.parametrize("masked", [False, True])
def test_derivatives_of_fused_attention_are_those_of_tensor_operations(masked: bool) -> None:
    inputs = [tensor.requires_grad_() for tensor in torch.randn(3, 2, 2, 7, 8, dtype=torch.float64).unbind(0)]
    tangents = torch.randn(3, 2, 2, 7, 8, dtype=torch.float64).unbind(0)
    mask = (torch.arange(7) < torch.tensor([7, 4])[:, None])[:, None, None] if masked else None
    weight = torch.randn(2, 2, 7, 8, dtype=torch.float64)

    def derivatives(kernel: Kernel) -> list[torch.Tensor]:
        """Gradient, gradient of a function of the gradient, forward-mode derivative."""
        first = torch.autograd.grad((kernel(*inputs, mask) * weight).sum(), inputs)
        again = torch.autograd.grad((kernel(*inputs, mask) * weight).sum(), inputs, create_graph=True)
        second = torch.autograd.grad(sum((x * t).sum() for x, t in zip(again, tangents, strict=True)), inputs)
        forward = torch.func.jvp(lambda *x: kernel(*x, mask), tuple(inputs), tuple(tangents))[1]
        return [*first, *again, *second, forward]

    found, expected = derivatives(TwiceDifferentiable.apply), derivatives(plain_attention)
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-10)


def test_first_derivatives_use_the_fused_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    q = torch.randn(1, 2, 5, 8, requires_grad=True)
    monkeypatch.setattr(nanogen_dit.fused_attention, "plain_attention", None)  # a call would fail
    TwiceDifferentiable.apply(q, q, q, None).sum().backward()
    assert q.grad is not None


def test_attention_without_positions_is_permutation_equivariant() -> None:
    attention = Attention(32, 2, auto)
    none = Rotation(torch.ones(6, 1, 16), torch.zeros(6, 1, 16))
    x, order = torch.randn(2, 6, 32), torch.randperm(6)
    assert torch.allclose(attention(x, none)[:, order], attention(x[:, order], none), atol=1e-5)


def test_queries_and_keys_are_normalised() -> None:
    attention = Attention(32, 2, auto)
    rotation = RoPE((2, 3), 16)(6)
    before = attention(x := torch.randn(1, 6, 32), rotation)
    with torch.no_grad():
        for tensor in (attention.qkv.weight, attention.qkv.bias):
            tensor[:64] *= 3  # of q and k
    assert torch.allclose(attention(x, rotation), before, atol=1e-5)


def test_rms_norm_stays_float32_under_autocast() -> None:
    norm = RMSNorm(16)
    with torch.autocast("cpu", torch.bfloat16):
        out = norm(torch.randn(2, 16).bfloat16())
    assert out.dtype == torch.float32
    assert norm(torch.randn(2, 16).double()).dtype == torch.float64
    x = torch.randn(4, 16) * 1e-3
    assert torch.allclose(norm(x), x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt(), atol=1e-5)


def test_swiglu_is_its_equation_and_its_width_is_not_rounded() -> None:
    mlp, x = SwiGLU(32, 4.0), torch.randn(5, 32)
    assert mlp.w3.in_features == 85
    (w1, w2), (b1, b2) = mlp.w12.weight.chunk(2), mlp.w12.bias.chunk(2)
    inner = F.silu(x @ w1.T + b1) * (x @ w2.T + b2)
    assert torch.allclose(mlp(x), inner @ mlp.w3.weight.T + mlp.w3.bias, atol=1e-6)


def test_patches_are_a_strided_convolution_and_heads_have_the_channel_last() -> None:
    latent, kernel = torch.randn(2, 3, 4, 6), torch.randn(8, 3, 2, 2)
    expected = F.conv2d(latent, kernel, stride=2).flatten(2).transpose(1, 2)
    assert torch.allclose(patchify(latent, 2) @ kernel.flatten(1).T, expected, atol=1e-5)
    tokens = patchify(latent, 2).unflatten(-1, (3, 2, 2)).permute(0, 1, 3, 4, 2).flatten(2)
    assert torch.equal(unpatchify(tokens, 2, (2, 3)), latent)


def test_time_features() -> None:
    embedding, t = TimeEmbedding(16, 4, 1.0), torch.tensor([0.0, 0.25])
    angle = 2 * torch.pi * t[:, None] * embedding.frequencies
    features = torch.cat([torch.sin(angle), torch.cos(angle)], 1)
    hidden = F.silu(features @ embedding.mlp_in.weight.T + embedding.mlp_in.bias)
    base = embedding(t)
    assert torch.allclose(base, hidden @ embedding.mlp_out.weight.T + embedding.mlp_out.bias, atol=1e-6)
    assert torch.equal(embedding.tokens(base)[1, 2], base[1] + embedding.learned[2])
    assert "frequencies" not in dict(embedding.named_parameters())


def test_geometry_and_trunks_refuse_what_does_not_divide() -> None:
    from nanogen_core.errors import ConfigError, Incompatible

    with pytest.raises(Incompatible, match="A latent of 5 x 6 cannot be cut into patches of 2 x 2"):
        Geometry.of(LatentSpec(3, 5, 6, factor=8), None)
    with pytest.raises(ConfigError, match="got width 30 and heads 4"):
        Trunk(30, 2, 4).check("heads")
