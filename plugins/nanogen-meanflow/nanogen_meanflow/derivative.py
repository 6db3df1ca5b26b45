"""du/dt along the path of a sample, by four routes: d/dt u(z_t, t, r) = (v d/dz + d/dt) u, with dz/dt = v."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from attrs import frozen
from torch import Tensor

from nanogen_core.tensors import Prediction, per_sample

#: (z [B, C, h, w], t [B]) -> the network's answer as an average velocity, for one r and one condition
Along = Callable[[Tensor, Tensor], Prediction]


class Point(NamedTuple):
    """Where a derivative is taken, and in which direction: `(v, 1)` for `(z, t)`; r stands still."""

    z: Tensor  # [B, C, h, w]
    t: Tensor  # [B]
    v: Tensor  # [B, C, h, w]


class Slope(NamedTuple):
    """The network's answer, which gradients flow through, and its derivative along the path, which none do."""

    prediction: Prediction
    du_dt: Tensor  # [B, C, h, w]


def exact(along: Along, at: Point) -> Slope:
    """By two backward passes: the gradient `J^T w` is linear in w, and its own derivative by w, times (v, 1), is `J v`.

    The graph of the forward pass serves the loss as well, which makes this the quickest exact route.
    """
    z, t = at.z.detach().requires_grad_(), at.t.detach().requires_grad_()
    prediction = along(z, t)
    u = prediction.value.latent
    w = torch.zeros_like(u, requires_grad=True)  # where is the same: J^T w has one slope everywhere
    pulled = torch.autograd.grad(u, (z, t), w, create_graph=True)  # J^T w
    (du_dt,) = torch.autograd.grad(pulled, w, (at.v, torch.ones_like(t)), retain_graph=True)
    return Slope(prediction, du_dt)


def forward_mode(along: Along, at: Point) -> Slope:
    """By dual numbers, beside the pass that the loss uses: exact too, slower, and open to compiled networks."""

    def value(z: Tensor, t: Tensor) -> Tensor:
        return along(z, t).value.latent

    with torch.no_grad():
        du_dt = torch.func.jvp(value, (at.z, at.t), (at.v, torch.ones_like(at.t)))[1]
    return Slope(along(at.z, at.t), du_dt)


@frozen
class Central:
    """`(u(z + e v, t + e) - u(z - e v, t - e)) / 2 e`: an error in e^2 and two evaluations without gradient."""

    fd_step: float

    def __call__(self, along: Along, at: Point) -> Slope:
        later, earlier = (_moved(along, at, span) for span in (self.fd_step, -self.fd_step))
        return Slope(along(at.z, at.t), (later - earlier) / (2 * self.fd_step))


@frozen
class Backward:
    """`(u(z, t) - u(z - e v, t - e)) / e`: an error in e and one evaluation without gradient."""

    fd_step: float

    def __call__(self, along: Along, at: Point) -> Slope:
        prediction = along(at.z, at.t)
        u = prediction.value.latent.detach()
        return Slope(prediction, (u - _moved(along, at, -self.fd_step)) / self.fd_step)


@torch.no_grad()
def _moved(along: Along, at: Point, span: float) -> Tensor:
    """u a little later or earlier on the path."""
    return along(at.z + span * at.v, at.t + span).value.latent


ROUTES: Mapping[str, Callable[[float], Callable[[Along, Point], Slope]]] = {
    "exact": lambda fd_step: exact,
    "forward": lambda fd_step: forward_mode,
    "central": Central,
    "backward": Backward,
}


def compound(slope: Slope, span: Tensor) -> Tensor:
    """`V = u + (t - r) du/dt` [B, C, h, w], the velocity that an average one over `span` = t - r [B] stands for."""
    u = slope.prediction.value.latent
    return u + per_sample(span, u).to(u.dtype) * slope.du_dt
