"""Diffusion transformers for NanoGen: LightningDiT, DDT and DiT."""

from typing import TYPE_CHECKING

from nanogen_files.exports import lazy_exports

if TYPE_CHECKING:
    from nanogen_dit.config import DDTConfig, LightningDiTConfig
    from nanogen_dit.ddt import DDT
    from nanogen_dit.dit import DiT
    from nanogen_dit.dit_config import DiTConfig
    from nanogen_dit.lightning_dit import LightningDiT

__all__ = [
    "DDT",
    "DDTConfig",
    "DiT",
    "DiTConfig",
    "LightningDiT",
    "LightningDiTConfig",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "DDT": "ddt",
        "DDTConfig": "config",
        "DiT": "dit",
        "DiTConfig": "dit_config",
        "LightningDiT": "lightning_dit",
        "LightningDiTConfig": "config",
    },
)
