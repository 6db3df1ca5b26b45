"""du/dt of every method against central finite differences in float64."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

from nanogen_core.tensors import Condition, Prediction, State, Times
from nanogen_meanflow.derivative import (
    AverageVelocityFn,
    Backward,
    Central,
    JVPInputs,
    JVPOutput,
    compound_velocity,
    exact,
    forward_mode,
)

Make = Callable[..., torch.nn.Module]


def _evaluation(net: torch.nn.Module, guidance: Tensor | None = None) -> tuple[AverageVelocityFn, JVPInputs]:
    """The network as a function of (z, t) in float64, and four states with texts of 3, 3, 2 and 1 tokens."""
    generator = torch.Generator().manual_seed(1)
    z, v = (torch.randn(4, 2, 4, 4, generator=generator, dtype=torch.float64) for _ in range(2))
    t = torch.tensor([0.9, 0.7, 0.5, 0.3], dtype=torch.float64)
    mask = torch.arange(3) < torch.tensor([3, 3, 2, 1])[:, None]
    condition = Condition(
        torch.randn(4, 3, 6, generator=generator, dtype=torch.float64),
        mask,
        extras={} if guidance is None else {"guidance": guidance},
    )

    def u_fn(z: Tensor, t: Tensor) -> Prediction:
        return net(State(z), Times(t, r), condition)

    r = t * 0.4
    return u_fn, JVPInputs(z, t, v)


def _relative_error(value: Tensor, truth: Tensor) -> float:
    return float(((value - truth).norm() / truth.norm()).detach())


def test_exact_agrees_with_finite_differences_in_float64(make: Make) -> None:
    u_fn, at = _evaluation(make().double())
    truth = Central(1e-5)(u_fn, at).du_dt
    assert _relative_error(exact(u_fn, at).du_dt, truth) < 1e-7


def test_reverse_and_forward_mode_agree(make: Make) -> None:
    u_fn, at = _evaluation(make().double())
    assert _relative_error(exact(u_fn, at).du_dt, forward_mode(u_fn, at).du_dt) < 1e-12


def test_r_is_constant(make: Make) -> None:
    """The interval h = t - r grows with t: a derivative with moving r would miss it."""
    u_fn, at = _evaluation(make().double())
    at_rest = JVPInputs(at.z, at.t, torch.zeros_like(at.z))
    later, earlier = (u_fn(at.z, at.t + dt).value.latent for dt in (1e-5, -1e-5))
    assert _relative_error(exact(u_fn, at_rest).du_dt, (later - earlier) / 2e-5) < 1e-7


@pytest.mark.parametrize(("method", "order"), [(Central, 2), (Backward, 1)])
def test_finite_differences_have_their_order_of_convergence(make: Make, method: type, order: int) -> None:
    u_fn, at = _evaluation(make().double())
    truth = exact(u_fn, at).du_dt
    coarse, fine = (_relative_error(method(fd_step)(u_fn, at).du_dt, truth) for fd_step in (1e-3, 5e-4))
    assert coarse / fine == pytest.approx(2**order, rel=0.05)


@pytest.mark.parametrize("method", [exact, forward_mode, Central(1e-3), Backward(1e-3)])
def test_gradients_are_those_of_a_plain_forward_pass(
    make: Make, method: Callable[[AverageVelocityFn, JVPInputs], object]
) -> None:
    net = make().double()
    u_fn, at = _evaluation(net)
    parameters = list(net.parameters())
    gradients = torch.autograd.grad(method(u_fn, at).prediction.value.latent.square().sum(), parameters)
    expected = torch.autograd.grad(u_fn(at.z, at.t).value.latent.square().sum(), parameters)
    assert all(torch.allclose(a, b) for a, b in zip(gradients, expected, strict=True))


def test_no_gradient_flows_through_the_derivative(make: Make) -> None:
    u_fn, at = _evaluation(make().double())
    for method in (exact, forward_mode, Central(1e-3), Backward(1e-3)):
        assert not method(u_fn, at).du_dt.requires_grad


def test_extras_have_no_derivative(make: Make) -> None:
    guidance = torch.rand(4, 3, dtype=torch.float64)
    u_fn, at = _evaluation(make("cfg-conditioned").double(), guidance)
    truth = Central(1e-5)(u_fn, at).du_dt
    assert _relative_error(exact(u_fn, at).du_dt, truth) < 1e-7
    assert _relative_error(forward_mode(u_fn, at).du_dt, truth) < 1e-7
    assert _relative_error(exact(*_evaluation(make("cfg-conditioned").double())).du_dt, truth) > 1e-3


@pytest.mark.parametrize("method", [exact, forward_mode])
def test_the_prediction_keeps_intermediates_and_heads(
    make: Make, method: Callable[[AverageVelocityFn, JVPInputs], JVPOutput]
) -> None:
    net = make("internal-head").double()
    u_fn, at = _evaluation(partial(net, intermediates=("block.1",)))
    prediction = method(u_fn, at).prediction
    assert prediction.features["block.1"].requires_grad
    assert set(prediction.features) == {"block.1"}
    assert prediction.heads["internal"].latent.requires_grad


@pytest.mark.usefixtures("fresh_compiler")
def test_forward_mode_works_on_compiled_networks(make: Make) -> None:
    net = make(depth=1)
    u_fn, at = _evaluation(net.double())
    truth = exact(u_fn, at).du_dt
    net.compile(backend="aot_eager")
    with pytest.raises(RuntimeError, match=r"double backward|create_graph"):  # the manifest reports this combination
        exact(u_fn, at)
    assert _relative_error(forward_mode(u_fn, at).du_dt, truth) < 1e-10


def test_the_compound_velocity_by_hand() -> None:
    u, du_dt = torch.randn(2, 1, 1, 1), torch.randn(2, 1, 1, 1)
    output = JVPOutput(Prediction(State(u)), du_dt)
    h = torch.tensor([0.5, 0.25])
    assert torch.allclose(compound_velocity(output, h).flatten(), u.flatten() + h * du_dt.flatten())
