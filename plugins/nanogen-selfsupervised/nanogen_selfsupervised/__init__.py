"""Losses that accelerate training without an encoder: dispersive loss, self-alignment (SRA), contrastive flow."""

from typing import TYPE_CHECKING

from nanogen_files.exports import lazy_exports

if TYPE_CHECKING:
    from nanogen_selfsupervised.config import ContrastiveFlowConfig, DispersiveConfig, SelfAlignmentConfig
    from nanogen_selfsupervised.contrastive import ContrastiveFlow
    from nanogen_selfsupervised.dispersive import Dispersive
    from nanogen_selfsupervised.sra import SelfAlignment

__all__ = [
    "ContrastiveFlow",
    "ContrastiveFlowConfig",
    "Dispersive",
    "DispersiveConfig",
    "SelfAlignment",
    "SelfAlignmentConfig",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "ContrastiveFlow": "contrastive",
        "ContrastiveFlowConfig": "config",
        "Dispersive": "dispersive",
        "DispersiveConfig": "config",
        "SelfAlignment": "sra",
        "SelfAlignmentConfig": "config",
    },
)
