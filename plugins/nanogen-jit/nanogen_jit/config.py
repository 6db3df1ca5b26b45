"""Options of the backbone `jit` and of the tokenizer `scaled-pixel`. Does not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import Attribute, field, frozen, validators

from nanogen_core.errors import ConfigError, near_miss
from nanogen_core.validators import at_least, between
from nanogen_dit.config import Trunk

#: Width, depth and heads, and the width of the bottleneck: B, L and H of the paper, and "tiny" for tests and laptops.
SIZES: Mapping[str, tuple[Trunk, int]] = {
    "tiny": (Trunk(128, 6, 4), 32),
    "B": (Trunk(768, 12, 12), 128),
    "L": (Trunk(1024, 24, 16), 128),
    "H": (Trunk(1280, 32, 16), 256),
}


def _a_size(_: object, attribute: Attribute[str], value: str) -> None:
    if value not in SIZES:
        raise ConfigError(f"size: {value!r} is unknown. Use one of {', '.join(SIZES)}.{near_miss(value, SIZES)}")


def _optional(low: int, high: int) -> Any:
    return validators.optional(at_least(low, high))


@frozen(kw_only=True)
class JiTConfig:
    """Options of `JiT`.

    Args:
        size: Preset of hidden, depth, heads and bottleneck: tiny, B, L or H.
        hidden, depth, heads: Width, number of blocks, and attention heads of each block. Null uses the preset.
        bottleneck: Width between the two linear maps of the patch embedding. Null uses the preset.
        patch_size: Latent cells along one side of a token. Null uses the number of cells along 16 image pixels.
        mlp_ratio: Sets the inner width of SwiGLU, `int(2/3 * mlp_ratio * hidden)`.
        in_context_start: Number of blocks before the in-context tokens join. Null: a third of the depth, as published.
        in_context_tokens: Number of in-context tokens for a class label. A text has one for each of its tokens.
    """

    size: str = field(default="B", validator=_a_size)
    hidden: int | None = field(default=None, validator=_optional(1, 65_536))
    depth: int | None = field(default=None, validator=_optional(1, 1000))
    heads: int | None = field(default=None, validator=_optional(1, 1024))
    bottleneck: int | None = field(default=None, validator=_optional(1, 65_536))
    patch_size: int | None = field(default=None, validator=_optional(1, 1024))
    mlp_ratio: float = field(default=4.0, validator=between(0, 100, above=True))
    in_context_start: int | None = field(default=None, validator=_optional(0, 999))
    in_context_tokens: int = field(default=32, validator=at_least(1, 1024))

    def __attrs_post_init__(self) -> None:
        self.trunk.check("heads")
        if self.start >= self.trunk.depth:
            raise ConfigError(
                f"in_context_start: must be below the number of blocks ({self.trunk.depth}), got {self.start}."
            )

    @property
    def trunk(self) -> Trunk:
        """Width, depth and heads."""
        preset, _ = SIZES[self.size]
        given = {"hidden": self.hidden, "depth": self.depth, "heads": self.heads}
        return Trunk(**{name: getattr(preset, name) if value is None else value for name, value in given.items()})

    @property
    def bottleneck_width(self) -> int:
        """Width of the bottleneck."""
        return SIZES[self.size][1] if self.bottleneck is None else self.bottleneck

    @property
    def start(self) -> int:
        """Number of blocks before the in-context tokens join: `in_context_start`, or a third of the depth."""
        return self.trunk.depth // 3 if self.in_context_start is None else self.in_context_start


@frozen(kw_only=True)
class ScaledPixelConfig:
    """Options of the tokenizer `scaled-pixel`.

    Args:
        noise_scale: Standard deviation of the noise, relative to images in [-1, 1]. Null: as published, the image size
            divided by 256, and at least 1.
    """

    noise_scale: float | None = field(default=None, validator=validators.optional(between(0, 1000, above=True)))
