"""Options of the EDM objective. Does not import torch."""

from __future__ import annotations

from attrs import Attribute, field, frozen, validators

from nanogen_core.validators import between, factor, positive

_mean = between(-20, 20)
_std = between(0, 20, above=True)


def _above_sigma_min(config: EDMConfig, attribute: Attribute[float], value: float) -> None:
    if value <= config.sigma_min:
        raise ValueError(f"{attribute.name}: must be above sigma_min ({config.sigma_min}), got {value}")


@frozen(kw_only=True)
class EDMConfig:
    """Options of `EDM`. The defaults follow the paper (arXiv 2206.00364, Table 1).

    Noise levels refer to data with the standard deviation `sigma_data`, as in the paper.

    Args:
        sigma_data: Standard deviation of the data that the noise levels refer to.
        data_std: Standard deviation of the latents. Noise levels are multiplied by `data_std / sigma_data`. Null takes
            0.5 for pixels and 1 for other latents.
        sigma_min, sigma_max: Lowest positive and highest noise level of sampling. The time t is sigma / sigma_max.
            Training levels above sigma_max become sigma_max.
        rho: Exponent of the sampling levels. Higher values give shorter steps near sigma_min.
        level_mean, level_std: Mean and standard deviation of ln(sigma) in training.
        cls_token_weight: Weight of the class token's loss (REG).
        internal_weight: Weight of the loss of each additional head (internal guidance).
    """

    sigma_data: float = field(default=0.5, validator=positive)
    data_std: float | None = field(default=None, validator=validators.optional(positive))
    sigma_min: float = field(default=0.002, validator=positive)
    sigma_max: float = field(default=80.0, validator=[positive, _above_sigma_min])
    rho: float = field(default=7.0, validator=between(0, 1000, above=True))
    level_mean: float = field(default=-1.2, validator=_mean)
    level_std: float = field(default=1.2, validator=_std)
    cls_token_weight: float = field(default=0.03, validator=factor)
    internal_weight: float = field(default=1.0, validator=factor)
