"""Alignment with vision encoders (REPA, iREPA, REG), distillation from pipelines, and internal guidance."""

from typing import TYPE_CHECKING

from nanogen_files.exports import lazy_exports

if TYPE_CHECKING:
    from nanogen_align.config import DistillConfig, InternalConfig, IRepaConfig, RegConfig, RepaConfig
    from nanogen_align.distill import Distill
    from nanogen_align.internal import Internal
    from nanogen_align.irepa import IRepa
    from nanogen_align.probe import intermediate_shape
    from nanogen_align.reg import Reg
    from nanogen_align.repa import Repa

__all__ = [
    "Distill",
    "DistillConfig",
    "IRepa",
    "IRepaConfig",
    "Internal",
    "InternalConfig",
    "Reg",
    "RegConfig",
    "Repa",
    "RepaConfig",
    "intermediate_shape",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "Distill": "distill",
        "DistillConfig": "config",
        "IRepa": "irepa",
        "IRepaConfig": "config",
        "Internal": "internal",
        "InternalConfig": "config",
        "Reg": "reg",
        "RegConfig": "config",
        "Repa": "repa",
        "RepaConfig": "config",
        "intermediate_shape": "probe",
    },
)
