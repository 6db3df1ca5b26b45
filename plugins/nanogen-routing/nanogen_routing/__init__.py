"""Backbones whose middle blocks train on a part of the image tokens: TREAD and SPRINT."""

from typing import TYPE_CHECKING

from nanogen_files.exports import lazy_exports

if TYPE_CHECKING:
    from nanogen_routing.config import TreadDDTConfig, TreadLightningDiTConfig
    from nanogen_routing.tread import TreadDDT, TreadLightningDiT

__all__ = [
    "TreadDDT",
    "TreadDDTConfig",
    "TreadLightningDiT",
    "TreadLightningDiTConfig",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "TreadDDT": "tread",
        "TreadDDTConfig": "config",
        "TreadLightningDiT": "tread",
        "TreadLightningDiTConfig": "config",
    },
)
