"""The options of both backbones, by preset or by numbers. Importing this loads no torch."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from attrs import Attribute, field, frozen

from nanogen_core.errors import ConfigError, near_miss
from nanogen_core.validators import between

#: The largest value of each number; those of the decoder as of the encoder.
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
PARAMETERS = 100_000_000_000  #: of one stack of blocks, at most


@frozen
class Trunk:
    """A stack of `depth` transformer blocks of width `hidden`, with `heads` attention heads each."""

    hidden: int
    depth: int
    heads: int

    def check(self, name: str) -> None:
        """Raises ConfigError where heads do not divide the width into multiples of four (rows, columns, pairs), and for
        a stack that no machine holds."""
        if 12 * self.hidden**2 * self.depth > PARAMETERS:  # the largest maps of each block alone
            raise ConfigError(
                f"{name}: {self.depth} blocks of width {self.hidden} have more than {PARAMETERS:,} parameters, which is"
                " the limit."
            )
        if self.hidden % (4 * self.heads):
            raise ConfigError(
                f"{name}: a width of {self.hidden} cannot be split into {self.heads} heads whose width is a multiple "
                f"of 4, as the rotary embedding needs."
            )


#: Initial weights: those of the published code, or our own variant (see `initial_weights.py`).
INITS = ("published", "xavier")

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
            raise ConfigError(f"{attribute.name}: {value!r} is none of {', '.join(known)}.{near_miss(value, known)}")

    return check


def _positive(_: object, attribute: Attribute[Any], value: float | None) -> None:
    if value is not None:
        between(0, LIMITS[attribute.name.removeprefix("decoder_")], above=True)(None, attribute, value)


def _check_depth(internal: int | None, trunk: Trunk) -> None:
    if internal is not None and internal > trunk.depth:
        raise ConfigError(f"internal_head_depth: the encoder has {trunk.depth} blocks, got {internal}.")


def _given(number: int | None, preset: int) -> int:
    return preset if number is None else number


@frozen(kw_only=True)
class BackboneConfig:
    """What both backbones have. A number that is None comes from the preset `size`."""

    hidden: int | None = field(default=None, validator=_positive)
    depth: int | None = field(default=None, validator=_positive)
    heads: int | None = field(default=None, validator=_positive)
    mlp_ratio: float = field(default=4.0, validator=_positive)  # SwiGLU width: int(2/3 * ratio * hidden)
    patch_size: int | None = field(default=None, validator=_positive)  # latent cells a side; None: from the latent
    time_tokens: int = field(default=4, validator=_positive)
    init: str = field(default="published", validator=_one_of(INITS))
    time_scale: float = field(default=1.0, validator=_positive)  # deviation of the fixed Fourier frequencies
    internal_head_depth: int | None = field(default=None, validator=_positive)  # encoder block, from 1; None: no head

    def internal_depth(self, trunk: Trunk, wanted: frozenset[str]) -> int | None:
        """The encoder block that the second head reads, from 1; 2/7 of the way (8 of 28) where only asked for."""
        if self.internal_head_depth is None and "internal-head" in wanted:
            return max(1, round(trunk.depth * 2 / 7))
        return self.internal_head_depth


@frozen(kw_only=True)
class LightningDiTConfig(BackboneConfig):
    """LightningDiT. `size` is one of tiny, small, B, L, XL; every number beside it replaces the preset's."""

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
    """DDT. `size` is one of tiny, small, B, L, XL, XXL (512 px); every number beside it replaces the preset's.

    `hidden`, `depth` and `heads` are the encoder's.
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
