"""Plugin manifest: three samplers. Does not import torch."""

from __future__ import annotations

from typing import Any

from nanogen_core.hookspecs import hookimpl
from nanogen_core.specs import Component

NANOGEN_API = 1

# They solve data and noise from a state and its velocity, which an average velocity is not.
NEEDS: dict[str, Any] = {"objective": {"instantaneous-velocity"}}


@hookimpl
def nanogen_components() -> list[Component]:
    return [
        Component(
            kind="sampler",
            name="sde",
            target="nanogen_samplers.sde:SDE",
            config="nanogen_samplers.config:SDEConfig",
            needs=NEEDS,
            summary="Euler-Maruyama with the diffusion coefficients of SiT (arXiv 2401.08740)",
        ),
        Component(
            kind="sampler",
            name="dpm-solver-2m",
            target="nanogen_samplers.multistep:DPMSolver2M",
            config="nanogen_samplers.config:MultistepConfig",
            needs=NEEDS,
            summary="DPM-Solver++(2M): second order, one evaluation per step (arXiv 2211.01095)",
        ),
        Component(
            kind="sampler",
            name="unipc",
            target="nanogen_samplers.multistep:UniPC",
            config="nanogen_samplers.config:MultistepConfig",
            needs=NEEDS,
            summary="UniPC-2 with B2(h): DPM-Solver++(2M) and a corrector (arXiv 2302.04867)",
        ),
    ]
