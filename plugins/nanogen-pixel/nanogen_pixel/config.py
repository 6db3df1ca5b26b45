"""Options of the perceptual losses. Loads no torch."""

from __future__ import annotations

from typing import Any

from attrs import field, frozen, validators

from nanogen_align.config import DEFAULT_TEACHER
from nanogen_align.naming import is_slot
from nanogen_core.validators import between, factor, pixels, unit

_positive = between(0, 1000, above=True)
_side = validators.optional(pixels)


@frozen(kw_only=True)
class PerceptualConfig:
    """`weight` times the batch mean of a distance, which counts in samples with t < `below`.

    Each sample's distance d is divided by `(sg(d) + norm_eps)^norm_p`; 0 leaves it as it is.
    """

    weight: float = field(default=0.1, validator=factor)
    below: float = field(default=0.7, validator=unit)
    norm_p: float = field(default=0.0, validator=between(0, 10))
    norm_eps: float = field(default=0.01, validator=_positive)


@frozen(kw_only=True)
class LpipsConfig(PerceptualConfig):
    """`crop`: both images are cropped at random and resized to this side; None: whole images.

    `folder` is that of the weights, by default torch.hub's (an error names the files).
    """

    crop: int | None = field(default=None, validator=_side)
    folder: str | None = None


@frozen(kw_only=True)
class PatchTokensConfig(PerceptualConfig):
    """`teacher` is an encoder's name, or a mapping with its `name` and options."""

    teacher: Any = field(default=DEFAULT_TEACHER, validator=is_slot)
    weight: float = field(default=0.01, validator=factor)


@frozen(kw_only=True)
class ConvNeXtConfig(PerceptualConfig):
    """The defaults are those of pixel MeanFlow's public code (arXiv 2601.22158). `crop` is as for LPIPS.

    `path`: a ConvNeXt or ConvNeXt-V2 of transformers, a local folder or a name on the Hugging Face hub.
    """

    path: str = "facebook/convnextv2-base-22k-224"
    below: float = field(default=0.8, validator=unit)
    norm_p: float = field(default=1.0, validator=between(0, 10))
    crop: int | None = field(default=224, validator=_side)
