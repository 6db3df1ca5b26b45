"""Options of the perceptual losses. Does not import torch."""

from __future__ import annotations

from typing import Any

from attrs import field, frozen, validators

from nanogen_align.naming import DEFAULT_TEACHER, is_slot
from nanogen_core.validators import between, factor, pixels, unit

_positive = between(0, 1000, above=True)
_side: Any = validators.optional(pixels)


@frozen(kw_only=True)
class PerceptualConfig:
    """Options that all perceptual losses share.

    Args:
        weight: Weight of the loss.
        below: The loss applies to samples with t < `below`.
        norm_p, norm_eps: The distance d of a sample is divided by `(sg(d) + norm_eps)^norm_p`.
    """

    weight: float = field(default=0.1, validator=factor)
    below: float = field(default=0.7, validator=unit)
    norm_p: float = field(default=0.0, validator=between(0, 10))
    norm_eps: float = field(default=0.01, validator=_positive)


@frozen(kw_only=True)
class LpipsConfig(PerceptualConfig):
    """Options of `Lpips`.

    Args:
        crop: Compare random crops, resized to this side in pixels. Null compares whole images.
        folder: Folder of the weights. Null uses the folder of torch.hub.
    """

    crop: int | None = field(default=None, validator=_side)
    folder: str | None = None


@frozen(kw_only=True)
class PatchTokensConfig(PerceptualConfig):
    """Options of `PatchTokens`.

    Args:
        teacher: Name of a vision encoder, or a mapping with its `name` and options.
    """

    teacher: Any = field(default=DEFAULT_TEACHER, validator=is_slot)
    weight: float = field(default=0.01, validator=factor)


@frozen(kw_only=True)
class ConvNeXtConfig(PerceptualConfig):
    """Options of `ConvNeXt`. The defaults follow pixel MeanFlow's public code (arXiv 2601.22158).

    Args:
        path: A ConvNeXt or ConvNeXt-V2 of transformers: a local folder or a name on the Hugging Face hub.
        crop: Compare random crops, resized to this side in pixels. Null compares whole images.
    """

    path: str = "facebook/convnextv2-base-22k-224"
    below: float = field(default=0.8, validator=unit)
    norm_p: float = field(default=1.0, validator=between(0, 10))
    crop: int | None = field(default=224, validator=_side)
