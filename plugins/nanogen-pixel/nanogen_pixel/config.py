"""Options of the perceptual losses. Loads no torch."""

from __future__ import annotations

from typing import Any

from attrs import field, frozen

from nanogen_align.config import DEFAULT_TEACHER
from nanogen_align.naming import is_slot
from nanogen_core.validators import factor, unit


@frozen(kw_only=True)
class LpipsConfig:
    """Active where t < `below`. `folder` is that of the weights, by default torch.hub's (an error names the files)."""

    weight: float = field(default=0.1, validator=factor)
    below: float = field(default=0.7, validator=unit)
    folder: str | None = None


@frozen(kw_only=True)
class PatchTokensConfig:
    """Active where t < `below`. `teacher` is an encoder's name, or a mapping with its `name` and options."""

    teacher: Any = field(default=DEFAULT_TEACHER, validator=is_slot)
    weight: float = field(default=0.01, validator=factor)
    below: float = field(default=0.7, validator=unit)
