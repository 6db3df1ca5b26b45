"""Backbones whose middle blocks train on a part of the image tokens: TREAD and SPRINT."""

from typing import TYPE_CHECKING

from nanogen_files.exports import lazy_exports

if TYPE_CHECKING:
    from nanogen_routing.config import (
        PathDropConfig,
        SprintDDTConfig,
        SprintLightningDiTConfig,
        TreadDDTConfig,
        TreadLightningDiTConfig,
    )
    from nanogen_routing.path_drop import PathDrop
    from nanogen_routing.sprint import SprintDDT, SprintLightningDiT
    from nanogen_routing.tread import TreadDDT, TreadLightningDiT

__all__ = [
    "PathDrop",
    "PathDropConfig",
    "SprintDDT",
    "SprintDDTConfig",
    "SprintLightningDiT",
    "SprintLightningDiTConfig",
    "TreadDDT",
    "TreadDDTConfig",
    "TreadLightningDiT",
    "TreadLightningDiTConfig",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "PathDrop": "path_drop",
        "PathDropConfig": "config",
        "SprintDDT": "sprint",
        "SprintDDTConfig": "config",
        "SprintLightningDiT": "sprint",
        "SprintLightningDiTConfig": "config",
        "TreadDDT": "tread",
        "TreadDDTConfig": "config",
        "TreadLightningDiT": "tread",
        "TreadLightningDiTConfig": "config",
    },
)
