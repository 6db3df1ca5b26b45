"""Drifting models (arXiv 2602.04770): one-step generators trained by a drifting field."""

from typing import TYPE_CHECKING

from nanogen_files.exports import lazy_exports

if TYPE_CHECKING:
    from nanogen_drifting.bank import Bank
    from nanogen_drifting.config import DriftingConfig
    from nanogen_drifting.field import Group, drift_loss
    from nanogen_drifting.objective import OneStep
    from nanogen_drifting.stage import Drifting

__all__ = [
    "Bank",
    "Drifting",
    "DriftingConfig",
    "Group",
    "OneStep",
    "drift_loss",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "Bank": "bank",
        "Drifting": "stage",
        "DriftingConfig": "config",
        "Group": "field",
        "OneStep": "objective",
        "drift_loss": "field",
    },
)
