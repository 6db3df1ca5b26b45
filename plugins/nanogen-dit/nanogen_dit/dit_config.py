"""Options of the backbone `dit`. Does not import torch."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen

from nanogen_core.errors import ConfigError
from nanogen_dit.config import Trunk, _given, _one_of, _positive

#: Sizes of the DiT paper (arXiv 2212.09748), and "tiny" for tests.
DIT_SIZES: Mapping[str, Trunk] = {
    "tiny": Trunk(128, 6, 4),
    "S": Trunk(384, 12, 6),
    "B": Trunk(768, 12, 12),
    "L": Trunk(1024, 24, 16),
    "XL": Trunk(1152, 28, 16),
}


@frozen(kw_only=True)
class DiTConfig:
    """Options of `DiT`.

    Args:
        size: Preset of hidden, depth and heads: tiny, S, B, L or XL.
        hidden, depth, heads: Width, blocks and attention heads. Null: as in the preset.
        patch_size: Latent cells along one side of a token: 2, 4 or 8 in the paper. Null derives it from the latent.
        mlp_ratio: Inner width of the MLP, divided by the width of the network.
        time_factor: Factor of the time in its sines and cosines: 1 for SiT, 1000 for DiT with 1,000 timesteps.
        reverse_time: Whether to embed 1 - t in place of t. SiT's time runs from noise (0) to data (1).
    """

    size: str = field(default="XL", validator=_one_of(DIT_SIZES))
    hidden: int | None = field(default=None, validator=_positive)
    depth: int | None = field(default=None, validator=_positive)
    heads: int | None = field(default=None, validator=_positive)
    patch_size: int | None = field(default=None, validator=_positive)
    mlp_ratio: float = field(default=4.0, validator=_positive)
    time_factor: float = field(default=1.0, validator=_positive)
    reverse_time: bool = False

    def __attrs_post_init__(self) -> None:
        if self.trunk.hidden % self.trunk.heads or self.trunk.hidden % 4:
            raise ConfigError(
                f"heads: the width must be a multiple of heads, and of 4 for the sine-cosine positions of two axes, got"
                f" width {self.trunk.hidden} and heads {self.trunk.heads}. Change `heads` or `hidden`."
            )

    @property
    def trunk(self) -> Trunk:
        preset = DIT_SIZES[self.size]
        return Trunk(
            _given(self.hidden, preset.hidden), _given(self.depth, preset.depth), _given(self.heads, preset.heads)
        )
