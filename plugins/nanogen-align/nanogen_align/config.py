"""Options of the auxiliary losses and of internal guidance. Loads no torch."""

from __future__ import annotations

from typing import Any, Literal

from attrs import field, frozen, validators

from nanogen_align.naming import is_slot
from nanogen_core.validators import at_least, factor, guidance_scale, not_below, unit

DEFAULT_TEACHER = "dinov2-vit-b"

_block = at_least(1, 1000)


@frozen(kw_only=True)
class RepaConfig:
    """`teacher` is an encoder's name, or a mapping with its `name` and options. `block` is counted from 1.

    The published recipe: one linear map and mean squared error. The paper's own: `projector: mlp, distance: cosine`.
    """

    teacher: Any = field(default=DEFAULT_TEACHER, validator=is_slot)
    block: int = field(default=8, validator=_block)
    weight: float = field(default=0.5, validator=factor)
    projector: Literal["linear", "mlp"] = "linear"
    mlp_width: int = field(default=2048, validator=at_least(1, 65_536))
    distance: Literal["mse", "cosine"] = "mse"


@frozen(kw_only=True)
class IRepaConfig:
    """As for REPA. `mean_share` is the gamma of `(y - gamma mean(y)) / std(y)`, over the tokens of an image."""

    teacher: Any = field(default=DEFAULT_TEACHER, validator=is_slot)
    block: int = field(default=8, validator=_block)
    weight: float = field(default=0.5, validator=factor)
    mean_share: float = field(default=0.6, validator=unit)
    distance: Literal["mse", "cosine"] = "mse"


@frozen(kw_only=True)
class RegConfig:
    """The weight of the token's loss is the objective's: `objective.cls_token_weight`, 0.03.

    `token`: the teacher's class token, or the mean of its patch tokens, for teachers without one.
    """

    teacher: Any = field(default=DEFAULT_TEACHER, validator=is_slot)
    token: Literal["class", "mean"] = "class"


@frozen(kw_only=True)
class InternalConfig:
    """`base + scale (full - base)` while `t_min <= t <= t_max` at the start of a step; elsewhere the full prediction.

    `null_scale` is that of the unconditional branch; None: the same.
    """

    scale: float = field(default=1.0, validator=guidance_scale)
    null_scale: float | None = field(default=None, validator=validators.optional(guidance_scale))
    t_min: float = field(default=0.0, validator=unit)
    t_max: float = field(default=1.0, validator=[unit, not_below("t_min")])
