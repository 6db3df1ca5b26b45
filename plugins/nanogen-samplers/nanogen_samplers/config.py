"""Options of the samplers. Does not import torch."""

from __future__ import annotations

from typing import Literal

from attrs import field, frozen

from nanogen_core.validators import factor, inside, sampling_steps

Diffusion = Literal["sigma", "sbdm", "linear", "constant", "decreasing", "increasing-decreasing"]


@frozen(kw_only=True)
class SDEConfig:
    """Options of `SDE`. The defaults follow SiT's published samples.

    Args:
        steps: Number of steps, including the last one.
        diffusion: Form of the diffusion coefficient w(t); `SDE` has the formulas.
        norm: Factor in the diffusion coefficient. 0 gives Euler's method, except for "decreasing".
        last_step: The step to t = 0. "mean" is a step with the drift of the SDE, "euler" a step of the ODE, "tweedie"
            the predicted data, each without noise. "none" is a step with noise, like the others.
        last_step_size: Size of the last step in t. The other steps divide the rest in the proportions of the
            objective's grid. Unused if `last_step` is "none" or `steps` is 1: the times are then the objective's grid.
    """

    steps: int = field(default=250, validator=sampling_steps)
    diffusion: Diffusion = "sigma"
    norm: float = field(default=1.0, validator=factor)
    last_step: Literal["mean", "tweedie", "euler", "none"] = "mean"
    last_step_size: float = field(default=0.04, validator=inside)


@frozen(kw_only=True)
class MultistepConfig:
    """Options of `DPMSolver2M` and `UniPC`. `steps`: number of steps, with one evaluation each."""

    steps: int = field(default=20, validator=sampling_steps)
