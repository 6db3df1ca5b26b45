"""The total derivative du/dt of MeanFlow by four methods: `d/dt u(z_t, t, r) = (v d/dz + d/dt) u` with `dz/dt = v`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from attrs import frozen
from torch import Tensor

from nanogen_core.tensors import Prediction, per_sample

#: (z [B, C, h, w], t [B]) -> the network's prediction as an average velocity, at fixed r and condition
AverageVelocityFn = Callable[[Tensor, Tensor], Prediction]


class JVPInputs(NamedTuple):
    """The primals (z, t) and the tangent (v, 1). r is constant."""

    z: Tensor  # [B, C, h, w]
    t: Tensor  # [B]
    v: Tensor  # [B, C, h, w]


class JVPOutput(NamedTuple):
    """The network's prediction, with gradient, and du/dt, without gradient."""

    prediction: Prediction
    du_dt: Tensor  # [B, C, h, w]


def exact(u_fn: AverageVelocityFn, at: JVPInputs) -> JVPOutput:
    """Compute du/dt in reverse mode (double backward).

    J is the Jacobian of u by (z, t). A backward pass computes `J^T w`, which is linear in w. The gradient of
    `(v, 1)^T J^T w` by w is `J (v, 1)`: du/dt.
    The loss reuses the graph of the forward pass, so this is the fastest exact method.
    """
    z, t = at.z.detach().requires_grad_(), at.t.detach().requires_grad_()
    prediction = u_fn(z, t)
    u = prediction.value.latent
    w = torch.zeros_like(u, requires_grad=True)  # any value gives the same derivative, since J^T w is linear in w
    vjp = torch.autograd.grad(u, (z, t), w, create_graph=True)  # J^T w
    (du_dt,) = torch.autograd.grad(vjp, w, (at.v, torch.ones_like(t)), retain_graph=True)
    return JVPOutput(prediction, du_dt)


def forward_mode(u_fn: AverageVelocityFn, at: JVPInputs) -> JVPOutput:
    """Compute du/dt in a separate forward-mode pass. It is exact and slower than `exact`.

    torch.compile has no forward mode: it would stop compiling the network for good. This pass is eager; the pass with
    gradient stays compiled.
    """

    def value(z: Tensor, t: Tensor) -> Tensor:
        return u_fn(z, t).value.latent

    with torch.no_grad(), torch.compiler.set_stance("force_eager"):
        du_dt: Tensor = torch.func.jvp(value, (at.z, at.t), (at.v, torch.ones_like(at.t)))[1]
    return JVPOutput(u_fn(at.z, at.t), du_dt)


@frozen
class Central:
    """Central difference `(u(z + e v, t + e) - u(z - e v, t - e)) / (2 e)` with e = `fd_step`.

    The error is O(e^2). The cost is two evaluations without gradient.
    """

    fd_step: float

    def __call__(self, u_fn: AverageVelocityFn, at: JVPInputs) -> JVPOutput:
        later, earlier = (_u_after(u_fn, at, dt) for dt in (self.fd_step, -self.fd_step))
        return JVPOutput(u_fn(at.z, at.t), (later - earlier) / (2 * self.fd_step))


@frozen
class Backward:
    """Backward difference `(u(z, t) - u(z - e v, t - e)) / e` with e = `fd_step`.

    The error is O(e). The cost is one evaluation without gradient.
    """

    fd_step: float

    def __call__(self, u_fn: AverageVelocityFn, at: JVPInputs) -> JVPOutput:
        prediction = u_fn(at.z, at.t)
        u = prediction.value.latent.detach()
        return JVPOutput(prediction, (u - _u_after(u_fn, at, -self.fd_step)) / self.fd_step)


@torch.no_grad()
def _u_after(u_fn: AverageVelocityFn, at: JVPInputs, dt: float) -> Tensor:
    """u at (z + dt v, t + dt)."""
    return u_fn(at.z + dt * at.v, at.t + dt).value.latent


#: Value of the option `derivative` -> a function of `fd_step` that returns the method.
METHODS: Mapping[str, Callable[[float], Callable[[AverageVelocityFn, JVPInputs], JVPOutput]]] = {
    "exact": lambda fd_step: exact,
    "forward": lambda fd_step: forward_mode,
    "central": Central,
    "backward": Backward,
}


def compound_velocity(output: JVPOutput, h: Tensor) -> Tensor:
    """Return `V = u + h du/dt` [B, C, h, w] with `h = t - r` [B]: the velocity that the loss compares with its target.

    du/dt carries no gradient, as in arXiv 2505.13447.
    """
    u = output.prediction.value.latent
    return u + per_sample(h, u).to(u.dtype) * output.du_dt
