"""Options of the core's samplers and guidance. Loads no torch."""

from __future__ import annotations

from attrs import field, frozen, validators

from nanogen_core.validators import count, guidance_scale, not_below, sampling_steps, unit


@frozen(kw_only=True)
class SamplerConfig:
    """`steps`: the number of steps from noise to data."""

    steps: int = field(default=50, validator=sampling_steps)


@frozen(kw_only=True)
class ClassifierFreeConfig:
    """`v_u + scale (v_c - v_u)` while `t_min <= t <= t_max` at the start of a step, `v_c` elsewhere.

    `channels`: how many of the latent's channels are guided, from the first on; None: all. The published samples of DiT
    and SiT have three of four.
    """

    scale: float = field(default=1.0, validator=guidance_scale)
    t_min: float = field(default=0.0, validator=unit)
    t_max: float = field(default=1.0, validator=[unit, not_below("t_min")])
    channels: int | None = field(default=None, validator=validators.optional(count))
