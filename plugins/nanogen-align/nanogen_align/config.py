"""Options of the auxiliary losses and of internal guidance. Does not import torch."""

from __future__ import annotations

from typing import Any, Literal

from attrs import field, frozen, validators

from nanogen_align.naming import DEFAULT_TEACHER, is_slot
from nanogen_core.validators import at_least, factor, guidance_scale, not_below, unit

_block = at_least(1, 1000)


@frozen(kw_only=True)
class RepaConfig:
    """Options of `Repa`. The defaults follow DiffusionBench. The paper uses `projector: mlp, distance: cosine`.

    Args:
        teacher: Name of a vision encoder, or a mapping with its `name` and options.
        block: Backbone block whose output is aligned, counted from 1.
        weight: Weight of the loss.
        projector: "linear" is one linear map, "mlp" three linear layers with SiLU between them.
        mlp_width: Inner width of the "mlp".
        distance: "mse" is the mean squared error, "cosine" the negative cosine similarity.
        until: Number of training steps with this loss (HASTE, arXiv 2505.16792). Null means all steps.
    """

    teacher: Any = field(default=DEFAULT_TEACHER, validator=is_slot)
    block: int = field(default=8, validator=_block)
    weight: float = field(default=0.5, validator=factor)
    projector: Literal["linear", "mlp"] = "linear"
    mlp_width: int = field(default=2048, validator=at_least(1, 65_536))
    distance: Literal["mse", "cosine"] = "mse"
    until: int | None = field(default=None, validator=validators.optional(at_least(0)))


@frozen(kw_only=True)
class IRepaConfig:
    """Options of `IRepa`.

    Args:
        teacher: Name of a vision encoder, or a mapping with its `name` and options.
        block: Backbone block whose output is aligned, counted from 1.
        weight: Weight of the loss.
        gamma: Fraction of the mean that is removed from the teacher's patch tokens y. Targets are
            `(y - gamma mean(y)) / std(y)`, with mean and std over the tokens of an image.
        distance: "mse" is the mean squared error, "cosine" the negative cosine similarity.
        until: Number of training steps with this loss (HASTE, arXiv 2505.16792). Null means all steps.
    """

    teacher: Any = field(default=DEFAULT_TEACHER, validator=is_slot)
    block: int = field(default=8, validator=_block)
    weight: float = field(default=0.5, validator=factor)
    gamma: float = field(default=0.6, validator=unit)
    distance: Literal["mse", "cosine"] = "mse"
    until: int | None = field(default=None, validator=validators.optional(at_least(0)))


@frozen(kw_only=True)
class RegConfig:
    """Options of `Reg`. The weight of the class token's loss is `objective.cls_token_weight`.

    Args:
        teacher: Name of a vision encoder, or a mapping with its `name` and options.
        token: "class" diffuses the teacher's class token, "mean" the mean of its patch tokens (for teachers without a
            class token).
    """

    teacher: Any = field(default=DEFAULT_TEACHER, validator=is_slot)
    token: Literal["class", "mean"] = "class"


@frozen(kw_only=True)
class DistillConfig:
    """Options of `Distill`.

    Args:
        teacher: Folder of a run or saved pipeline. Its latents and tokenizer must equal the student's. Its weights and
            configuration enter the fingerprint of the training run.
        match: "velocity" compares velocities, "features" compares block outputs.
        weight: Weight of the loss.
        block: Student block that `match: features` compares, counted from 1.
        teacher_block: Teacher block that `match: features` compares, counted from 1. Null uses the number `block`.
    """

    teacher: str = ""
    match: Literal["velocity", "features"] = "velocity"
    weight: float = field(default=1.0, validator=factor)
    block: int = field(default=8, validator=_block)
    teacher_block: int | None = field(default=None, validator=validators.optional(_block))


@frozen(kw_only=True)
class InternalConfig:
    """Options of `Internal`.

    Args:
        scale: Guidance scale w. 1 is no guidance. The default is that of RAEv2's ImageNet samples (arXiv 2605.18324).
        null_scale: Guidance scale of the unconditional branch of classifier-free guidance. Null uses `scale`.
        t_min, t_max: Interval of times with guidance, both ends included.
    """

    scale: float = field(default=1.78, validator=guidance_scale)
    null_scale: float | None = field(default=None, validator=validators.optional(guidance_scale))
    t_min: float = field(default=0.0, validator=unit)
    t_max: float = field(default=1.0, validator=[unit, not_below("t_min")])
