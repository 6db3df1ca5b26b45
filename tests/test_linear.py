"""The quicker product against torch's own: values, derivatives of every order and mode, work, compiled networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nanogen_dit import linear as module
from nanogen_dit.linear import Linear, linear
from nanogen_train.logging.flops import FlopCount

CLOSE = 1e-5  # of the largest number: both add up in float32
HERE = pytest.mark.skipif(not module.AVAILABLE, reason="torch has no product by oneDNN here, or the CPU no AVX-512")
SHAPES = [(40, 24), (24, 40), (96, 96), (682, 128)]  # of weights [N, K]: both orders of the outer product


@pytest.fixture(autouse=True)
def _uses_onednn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Test oneDNN's product on an Intel CPU too, where MKL's is the faster one."""
    monkeypatch.setattr(module, "ONEDNN", module.AVAILABLE)


def pair(outputs: int, inputs: int, *, bias: bool = True) -> tuple[Linear, nn.Linear]:
    torch.manual_seed(0)
    ours = Linear(inputs, outputs, bias=bias)
    plain = nn.Linear(inputs, outputs, bias=bias)
    plain.load_state_dict(ours.state_dict())
    return ours, plain


def assert_close(found: Sequence[Tensor], expected: Sequence[Tensor]) -> None:
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.shape == theirs.shape
        assert float((mine - theirs).detach().abs().max()) <= CLOSE * float(theirs.detach().abs().max())


def test_the_product_is_taken_here_or_torch_s_own() -> None:
    assert module._prefers_onednn(torch.ones(2, 3), torch.ones(4, 3)) == module.AVAILABLE


@pytest.mark.parametrize(("vendor", "expected"), [("GenuineIntel", True), ("AuthenticAMD", False), (None, True)])
def test_intel_keeps_torch_s_own_product(tmp_path: Path, vendor: str | None, expected: bool) -> None:
    file = tmp_path / "cpuinfo"
    if vendor is not None:
        file.write_text(f"processor\t: 0\nvendor_id\t: {vendor}\n" * 100)
    assert module._is_intel(file) == expected


@HERE
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("bias", [True, False])
def test_values_and_gradients(shape: tuple[int, int], bias: bool) -> None:
    def gradients(net: nn.Module) -> list[Tensor]:
        x = torch.randn(5, 7, shape[1], generator=torch.Generator().manual_seed(1)).requires_grad_()
        y = net(x)
        return [y, *torch.autograd.grad(y.tanh().square().sum(), [x, *net.parameters()])]

    ours, plain = pair(*shape, bias=bias)
    assert ours(torch.ones(1, shape[1])).grad_fn.name() == "DualProductBackward"
    assert_close(gradients(ours), gradients(plain))


@pytest.mark.parametrize("autocast", [True, False])
@pytest.mark.parametrize("shape", [(283, 256), (256, 283), (601, 299)])
def test_a_gpu_s_unaligned_products_are_padded(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int], autocast: bool
) -> None:
    widths = []
    whole = F.linear
    monkeypatch.setattr(F, "linear", lambda x, w, b: widths.append((*w.shape, x.shape[-1])) or whole(x, w, b))
    monkeypatch.setattr(module, "PADDED_ON", "cpu")
    (ours, plain), x = pair(*shape), torch.randn(5, 7, shape[1])
    if not autocast:
        ours, plain, x = ours.bfloat16(), plain.bfloat16(), x.bfloat16()
    found = []
    for net in (ours, plain):
        inputs = x.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            y = net(inputs)
        found.append([y, *torch.autograd.grad(y.float().square().sum(), [inputs, *net.parameters()])])
    assert all(side % 8 == 0 for side in widths[0])
    for mine, theirs in zip(*found, strict=True):
        assert (mine.dtype, mine.shape) == (theirs.dtype, theirs.shape)
        torch.testing.assert_close(mine, theirs, rtol=2**-7, atol=2**-7 * float(theirs.detach().abs().max()))


def test_aligned_narrow_and_float32_products_are_not_padded() -> None:
    def unaligned(outputs: int, inputs: int, dtype: torch.dtype) -> bool:
        return module._is_unaligned(torch.ones(2, inputs, dtype=dtype), torch.ones(outputs, inputs, dtype=dtype))

    assert unaligned(5461, 2048, torch.bfloat16)
    assert not unaligned(5461, 2048, torch.float32)
    assert not unaligned(2048, 2048, torch.bfloat16)
    assert not unaligned(2048, 3, torch.bfloat16)


@HERE
@pytest.mark.parametrize("size", [(), (1,), (3, 1, 2)])
def test_any_number_of_rows(size: tuple[int, ...]) -> None:
    (ours, plain), x = pair(40, 24), torch.randn(*size, 24)
    for found, expected in zip(
        torch.autograd.grad(ours(x).square().sum(), ours.parameters()),
        torch.autograd.grad(plain(x).square().sum(), plain.parameters()),
        strict=True,
    ):
        assert_close([found], [expected])
    strided = torch.randn(24, 7).t()  # not contiguous, and a gradient that is expanded from one number
    assert_close(
        torch.autograd.grad(ours(strided).sum(), ours.parameters()),
        torch.autograd.grad(plain(strided).sum(), plain.parameters()),
    )


@HERE
@pytest.mark.parametrize("shape", SHAPES)
def test_second_derivatives_by_weights_too(shape: tuple[int, int]) -> None:
    """A penalty on the gradient by x, differentiated by everything."""

    def gradients(net: nn.Module) -> tuple[Tensor, ...]:
        x = torch.randn(9, shape[1], generator=torch.Generator().manual_seed(1)).requires_grad_()
        (slope,) = torch.autograd.grad(net(x).tanh().sum(), x, create_graph=True)
        return torch.autograd.grad(slope.square().sum(), [x, *net.parameters()])

    assert_close(*map(gradients, pair(*shape)))


@HERE
def test_forward_mode_in_every_argument() -> None:
    ours, x = Linear(24, 40), torch.randn(3, 5, 24)
    arguments = (x, ours.weight.detach(), ours.bias.detach())
    tangents = tuple(map(torch.randn_like, arguments))
    for places in ((0,), (1,), (2,), (0, 1, 2)):
        ways: list[tuple[Tensor, Tensor]] = []
        for function in (linear, F.linear):
            at = lambda *moved, f=function, p=places: f(  # noqa: E731
                *(moved[p.index(place)] if place in p else arguments[place] for place in range(3))
            )
            ways.append(torch.func.jvp(at, tuple(arguments[p] for p in places), tuple(tangents[p] for p in places)))
        assert_close(*ways)


@HERE
def test_functions_of_torch_func() -> None:
    (ours, plain), x = pair(40, 24), torch.randn(6, 24)
    many = torch.randn(6, 40, 24)  # of weights: one for each row

    def norm(net: nn.Module) -> Callable[[Tensor], Tensor]:
        return lambda row: net(row[None]).square().sum()

    for transform in (torch.func.grad, torch.func.jacrev, torch.func.jacfwd, torch.func.hessian):
        assert_close([transform(norm(ours))(x[0])], [transform(norm(plain))(x[0])])
    assert_close([torch.vmap(ours)(x)], [plain(x)])
    assert_close([torch.vmap(linear)(x, many)], [torch.vmap(F.linear)(x, many)])


@HERE
def test_a_pass_multiplies_no_more_than_it_must() -> None:
    """In particular, the first of MeanFlow's two backward passes does not work out gradients of weights."""

    def work(net: nn.Module) -> list[int]:
        x, w = torch.randn(5, 24, requires_grad=True), torch.zeros(5, 40, requires_grad=True)
        counts = []
        with FlopCount() as count:
            y = net(x).tanh()
            counts.append(count.with_gradient)
            (pulled,) = torch.autograd.grad(y, x, w, create_graph=True)
            counts.append(count.with_gradient)
            torch.autograd.grad(pulled, w, torch.ones_like(x), retain_graph=True)
            counts.append(count.with_gradient)
            y.sum().backward()
            counts.append(count.with_gradient)
            with torch.no_grad():
                net(x)
        return [*counts, count.without_gradient]

    product = 2 * 5 * 24 * 40
    ours, plain = pair(40, 24)
    assert work(ours) == work(plain) == [product, 2 * product, 3 * product, 5 * product, product]
    with FlopCount() as count:
        torch.func.jvp(ours, (torch.randn(5, 24),), (torch.randn(5, 24),))
    assert count.with_gradient == 2 * product  # one for the value, one for the tangent


@HERE
def test_a_compiled_network_takes_it_too() -> None:
    def gradients(net: nn.Module) -> list[Tensor]:
        x = torch.randn(5, 7, 24, generator=torch.Generator().manual_seed(1)).requires_grad_()
        y = net(x)
        return [y, *torch.autograd.grad(y.square().sum(), [x, *net.parameters()])]

    ours, plain = pair(40, 24)
    compiled = torch.compile(nn.Sequential(deepcopy(ours), nn.Tanh()), fullgraph=True)
    with torch.profiler.profile() as profile:
        found = gradients(compiled)
    assert_close(found, gradients(nn.Sequential(plain, nn.Tanh())))
    assert any(event.key == "mkldnn::_linear_pointwise" for event in profile.key_averages())


@pytest.mark.parametrize(
    ("x", "weight", "why"),
    [
        (torch.ones(2, 3).double(), torch.ones(4, 3).double(), "double precision"),
        (torch.ones(0, 3), torch.ones(4, 3), "nothing to multiply"),
        (torch.ones(2, 3, device="meta"), torch.ones(4, 3, device="meta"), "no numbers"),
    ],
)
def test_what_oneDNN_has_no_product_for_is_left_to_torch(x: Tensor, weight: Tensor, why: str) -> None:  # noqa: N802
    found = linear(x, weight)
    assert found.shape == (len(x), 4), why
    assert found.dtype == x.dtype


def test_autocast_has_its_way() -> None:
    ours, plain = pair(40, 24)
    x = torch.randn(5, 24)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(ours(x), plain(x))


def test_shapes_that_do_not_fit_are_told_in_torch_s_words() -> None:
    with pytest.raises(RuntimeError, match="mat1 and mat2 shapes cannot be multiplied"):
        Linear(3, 4)(torch.ones(2, 5))
