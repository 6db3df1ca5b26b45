"""Options of the backbones `lightning-dit` and `ddt`: a size and numbers that override it. Does not import torch."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from attrs import Attribute, field, frozen

from nanogen_core.errors import ConfigError, near_miss
from nanogen_core.validators import between

#: Largest value of each option. `decoder_*` has the limit of the option without the prefix.
LIMITS: Mapping[str, float] = {
    "hidden": 65_536,
    "depth": 1000,
    "heads": 1024,
    "mlp_ratio": 100,
    "patch_size": 1024,
    "time_tokens": 1024,
    "time_scale": 1000,
    "time_factor": 1_000_000,
    "internal_head_depth": 1000,
}
PARAMETERS = 100_000_000_000  # most parameters in one stack of blocks


@frozen
class Trunk:
    """A stack of `depth` transformer blocks of width `hidden` with `heads` attention heads."""

    hidden: int
    depth: int
    heads: int

    def check(self, name: str) -> None:
        """Raise ConfigError if the stack cannot be built. The message begins with `name`.

        The width of a head must be a multiple of 4: the rotary embedding has two axes and rotates pairs. The stack may
        have at most `PARAMETERS` parameters.
        """
        if 12 * self.hidden**2 * self.depth > PARAMETERS:  # attention and MLP maps only
            raise ConfigError(
                f"{name}: {self.depth} blocks of width {self.hidden} have more than {PARAMETERS:,} parameters. Reduce"
                " the depth or the width."
            )
        if self.hidden % (4 * self.heads):
            raise ConfigError(
                f"{name}: the width must be a multiple of 4 * heads, as the rotary embedding needs, got width"
                f" {self.hidden} and heads {self.heads}. Change the number of heads or the width."
            )


#: Initial weights: those of the published code, or Xavier-uniform (see `initial_weights.py`).
INITS = ("published", "xavier")

#: How a network with two times reads t - r (see `BackboneConfig`).
INTERVALS = ("tokens", "sum")
MASKED_ATTENTION = ("fused", "flex")

SIZES: Mapping[str, Trunk] = {
    "tiny": Trunk(128, 6, 4),
    "small": Trunk(384, 12, 6),
    "B": Trunk(768, 12, 12),
    "L": Trunk(1024, 24, 16),
    "XL": Trunk(1152, 28, 16),
}

DDT_SIZES: Mapping[str, tuple[Trunk, Trunk]] = {
    "tiny": (Trunk(128, 4, 4), Trunk(128, 2, 4)),
    "small": (Trunk(384, 10, 6), Trunk(768, 2, 12)),
    "B": (Trunk(768, 12, 12), Trunk(2048, 2, 16)),
    "L": (Trunk(1024, 24, 16), Trunk(2048, 2, 16)),
    "XL": (Trunk(1152, 28, 16), Trunk(2048, 2, 16)),
    "XXL": (Trunk(1584, 28, 22), Trunk(2048, 2, 16)),  # 512 px
}


def _one_of(known: Collection[str]) -> Any:
    def check(_: object, attribute: Attribute[str], value: str) -> None:
        if value not in known:
            raise ConfigError(
                f"{attribute.name}: {value!r} is unknown. Use one of {', '.join(known)}.{near_miss(value, known)}"
            )

    return check


def _positive(_: object, attribute: Attribute[Any], value: float | None) -> None:
    if value is not None:
        between(0, LIMITS[attribute.name.removeprefix("decoder_")], above=True)(None, attribute, value)


def _check_depth(internal: int | None, trunk: Trunk) -> None:
    if internal is not None and internal > trunk.depth:
        raise ConfigError(f"internal_head_depth: must be at most {trunk.depth}, the encoder's depth, got {internal}.")


def _given(number: int | None, preset: int) -> int:
    return preset if number is None else number


@frozen(kw_only=True)
class BackboneConfig:
    """Options that `lightning-dit` and `ddt` share.

    Args:
        hidden, depth, heads: Width, blocks and attention heads of the encoder. Null: as in the preset.
        mlp_ratio: Sets the inner width of SwiGLU, `int(2/3 * mlp_ratio * hidden)`.
        patch_size: Latent cells along one side of a token. Null derives it from the latent: a token covers 16 x 16
            image pixels.
        time_tokens: Number of tokens of each time embedding.
        interval: How a network with two times reads t - r. "tokens": as separate tokens, as published. "sum": an
            embedding of t - r, zero at first, is added to that of t (MeanFlow, arXiv 2505.13447). With "sum",
            a network that starts from the weights of a network with one time computes the same function at first.
        masked_attention: Kernel of attention with padded captions, in training and sampling. "fused":
            scaled_dot_product_attention. "flex": FlexAttention, on CUDA GPUs. Other devices sample with "fused", and
            cannot train with "flex". Objectives with du/dt (MeanFlow) need "fused". Both compute the same function.
        init: Initial weights: "published" (as in DiffusionBench) or "xavier" (Xavier-uniform linear maps).
        time_scale: Standard deviation of the fixed Fourier frequencies of the time embedding.
        internal_head_depth: Encoder block, counted from 1, that feeds the internal-guidance head. Null builds the head
            only if internal guidance needs it, on the block at 2/7 of the depth.
    """

    hidden: int | None = field(default=None, validator=_positive)
    depth: int | None = field(default=None, validator=_positive)
    heads: int | None = field(default=None, validator=_positive)
    mlp_ratio: float = field(default=4.0, validator=_positive)
    patch_size: int | None = field(default=None, validator=_positive)
    time_tokens: int = field(default=4, validator=_positive)
    interval: str = field(default="tokens", validator=_one_of(INTERVALS))
    masked_attention: str = field(default="fused", validator=_one_of(MASKED_ATTENTION))
    init: str = field(default="published", validator=_one_of(INITS))
    time_scale: float = field(default=1.0, validator=_positive)
    internal_head_depth: int | None = field(default=None, validator=_positive)

    def internal_depth(self, trunk: Trunk, wanted: frozenset[str]) -> int | None:
        """Return the encoder block, counted from 1, that feeds the internal-guidance head. None means no head.

        If `internal_head_depth` is null and `wanted` contains "internal-head", the block is at 2/7 of the depth,
        rounded (8 of 28).

        Args:
            trunk: Width, depth and heads of the encoder.
            wanted: Capabilities that other components need, such as "internal-head".
        """
        if self.internal_head_depth is None and "internal-head" in wanted:
            return max(1, round(trunk.depth * 2 / 7))
        return self.internal_head_depth


@frozen(kw_only=True)
class LightningDiTConfig(BackboneConfig):
    """Options of `LightningDiT`.

    Args:
        size: Preset of hidden, depth and heads: tiny, small, B, L or XL.
    """

    size: str = field(default="XL", validator=_one_of(SIZES))

    def __attrs_post_init__(self) -> None:
        self.trunk.check("heads")
        _check_depth(self.internal_head_depth, self.trunk)

    @property
    def trunk(self) -> Trunk:
        preset = SIZES[self.size]
        return Trunk(
            _given(self.hidden, preset.hidden), _given(self.depth, preset.depth), _given(self.heads, preset.heads)
        )


@frozen(kw_only=True)
class DDTConfig(BackboneConfig):
    """Options of `DDT`.

    Args:
        size: Preset of all widths, depths and heads: tiny, small, B, L, XL or XXL (512 px).
        decoder_hidden, decoder_depth, decoder_heads: Width, blocks and attention heads of the decoder. Null: as in
            the preset.
    """

    size: str = field(default="XL", validator=_one_of(DDT_SIZES))
    decoder_hidden: int | None = field(default=None, validator=_positive)
    decoder_depth: int | None = field(default=None, validator=_positive)
    decoder_heads: int | None = field(default=None, validator=_positive)

    def __attrs_post_init__(self) -> None:
        self.trunk.check("heads")
        self.decoder.check("decoder_heads")
        _check_depth(self.internal_head_depth, self.trunk)

    @property
    def trunk(self) -> Trunk:
        preset, _ = DDT_SIZES[self.size]
        return Trunk(
            _given(self.hidden, preset.hidden), _given(self.depth, preset.depth), _given(self.heads, preset.heads)
        )

    @property
    def decoder(self) -> Trunk:
        _, preset = DDT_SIZES[self.size]
        return Trunk(
            _given(self.decoder_hidden, preset.hidden),
            _given(self.decoder_depth, preset.depth),
            _given(self.decoder_heads, preset.heads),
        )
