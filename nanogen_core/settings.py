"""Options of the samplers and of classifier-free guidance. Does not import torch."""

from __future__ import annotations

from attrs import field, frozen, validators

from nanogen_core.validators import count, guidance_scale, not_below, sampling_steps, unit


@frozen(kw_only=True)
class SamplerConfig:
    """Options of the Euler and Heun samplers. `steps`: number of steps from noise to data."""

    steps: int = field(default=50, validator=sampling_steps)


@frozen(kw_only=True)
class ClassifierFreeConfig:
    """Options of classifier-free guidance `v_u + scale (v_c - v_u)`. v_u, v_c: velocity without and with condition.

    Args:
        scale: Guidance scale; 1 means no guidance.
        t_min: Lower end of the guided interval. The velocity at time t is guided if t_min <= t <= t_max.
        t_max: Upper end of the guided interval. Outside the interval the velocity is v_c.
        channels: Number of latent channels that are guided, counted from the first; None for all. The published
            samples of DiT and SiT guide three of four.
    """

    scale: float = field(default=1.0, validator=guidance_scale)
    t_min: float = field(default=0.0, validator=unit)
    t_max: float = field(default=1.0, validator=[unit, not_below("t_min")])
    channels: int | None = field(default=None, validator=validators.optional(count))
