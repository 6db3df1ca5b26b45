"""du/dt against central finite differences in float64, by every route."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

from nanogen_core.tensors import Condition, Prediction, State, Times
from nanogen_meanflow.derivative import Along, Backward, Central, Point, Slope, compound, exact, forward_mode

Make = Callable[..., torch.nn.Module]


def _asked(net: torch.nn.Module, guidance: Tensor | None = None) -> tuple[Along, Point]:
    """A question in float64 about four states, with texts of 3, 3, 2 and 1 tokens."""
    generator = torch.Generator().manual_seed(1)
    z, v = (torch.randn(4, 2, 4, 4, generator=generator, dtype=torch.float64) for _ in range(2))
    t = torch.tensor([0.9, 0.7, 0.5, 0.3], dtype=torch.float64)
    mask = torch.arange(3) < torch.tensor([3, 3, 2, 1])[:, None]
    condition = Condition(
        torch.randn(4, 3, 6, generator=generator, dtype=torch.float64),
        mask,
        extras={} if guidance is None else {"guidance": guidance},
    )

    def along(z: Tensor, t: Tensor) -> Prediction:
        return net(State(z), Times(t, r), condition)

    r = t * 0.4
    return along, Point(z, t, v)


def _apart(found: Tensor, truth: Tensor) -> float:
    return float(((found - truth).norm() / truth.norm()).detach())


def test_the_exact_route_agrees_with_differences_in_float64(make: Make) -> None:
    along, at = _asked(make().double())
    truth = Central(1e-5)(along, at).du_dt
    assert _apart(exact(along, at).du_dt, truth) < 1e-7


def test_both_exact_routes_agree(make: Make) -> None:
    along, at = _asked(make().double())
    assert _apart(exact(along, at).du_dt, forward_mode(along, at).du_dt) < 1e-12


def test_r_stands_still(make: Make) -> None:
    """The interval h = t - r grows with t: a derivative that moved r along would miss it."""
    along, at = _asked(make().double())
    still = Point(at.z, at.t, torch.zeros_like(at.z))
    later, earlier = (along(at.z, at.t + span).value.latent for span in (1e-5, -1e-5))
    assert _apart(exact(along, still).du_dt, (later - earlier) / 2e-5) < 1e-7


@pytest.mark.parametrize(("route", "order"), [(Central, 2), (Backward, 1)])
def test_differences_converge_in_their_order(make: Make, route: type, order: int) -> None:
    along, at = _asked(make().double())
    truth = exact(along, at).du_dt
    coarse, fine = (_apart(route(span)(along, at).du_dt, truth) for span in (1e-3, 5e-4))
    assert coarse / fine == pytest.approx(2**order, rel=0.05)


@pytest.mark.parametrize("route", [exact, forward_mode, Central(1e-3), Backward(1e-3)])
def test_gradients_are_those_of_a_plain_forward_pass(make: Make, route: Callable[[Along, Point], object]) -> None:
    net = make().double()
    along, at = _asked(net)
    parameters = list(net.parameters())
    found = torch.autograd.grad(route(along, at).prediction.value.latent.square().sum(), parameters)
    plain = torch.autograd.grad(along(at.z, at.t).value.latent.square().sum(), parameters)
    assert all(torch.allclose(a, b) for a, b in zip(found, plain, strict=True))


def test_no_gradient_flows_through_the_derivative(make: Make) -> None:
    along, at = _asked(make().double())
    for route in (exact, forward_mode, Central(1e-3), Backward(1e-3)):
        assert not route(along, at).du_dt.requires_grad


def test_extras_have_no_derivative(make: Make) -> None:
    guidance = torch.rand(4, 3, dtype=torch.float64)
    along, at = _asked(make("cfg-conditioned").double(), guidance)
    truth = Central(1e-5)(along, at).du_dt
    assert _apart(exact(along, at).du_dt, truth) < 1e-7
    assert _apart(forward_mode(along, at).du_dt, truth) < 1e-7
    assert _apart(exact(*_asked(make("cfg-conditioned").double())).du_dt, truth) > 1e-3


@pytest.mark.parametrize("route", [exact, forward_mode])
def test_intermediates_and_heads_come_along(make: Make, route: Callable[[Along, Point], Slope]) -> None:
    net = make("internal-head").double()
    along, at = _asked(partial(net, intermediates=("block.1",)))
    prediction = route(along, at).prediction
    assert prediction.features["block.1"].requires_grad
    assert set(prediction.features) == {"block.1"}
    assert prediction.heads["internal"].latent.requires_grad


@pytest.mark.usefixtures("fresh_compiler")
def test_compiled_networks_have_the_forward_mode(make: Make) -> None:
    net = make(depth=1)
    along, at = _asked(net.double())
    truth = exact(along, at).du_dt
    net.compile(backend="aot_eager")
    with pytest.raises(RuntimeError, match=r"double backward|create_graph"):  # what the manifest refuses
        exact(along, at)
    assert _apart(forward_mode(along, at).du_dt, truth) < 1e-10


def test_the_compound_velocity_by_hand() -> None:
    u, du_dt = torch.randn(2, 1, 1, 1), torch.randn(2, 1, 1, 1)
    slope = Slope(Prediction(State(u)), du_dt)
    span = torch.tensor([0.5, 0.25])
    assert torch.allclose(compound(slope, span).flatten(), u.flatten() + span * du_dt.flatten())
