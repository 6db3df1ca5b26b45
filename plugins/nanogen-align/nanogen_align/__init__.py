"""Auxiliary losses that align a backbone with a vision encoder (REPA, iREPA, REG), and internal guidance."""

from typing import TYPE_CHECKING

from nanogen_files.exports import lazy_exports

if TYPE_CHECKING:
    from nanogen_align.config import InternalConfig, IRepaConfig, RegConfig, RepaConfig
    from nanogen_align.internal import Internal
    from nanogen_align.irepa import IRepa
    from nanogen_align.reg import Reg
    from nanogen_align.repa import Repa

__all__ = [
    "IRepa",
    "IRepaConfig",
    "Internal",
    "InternalConfig",
    "Reg",
    "RegConfig",
    "Repa",
    "RepaConfig",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "IRepa": "irepa",
        "IRepaConfig": "config",
        "Internal": "internal",
        "InternalConfig": "config",
        "Reg": "reg",
        "RegConfig": "config",
        "Repa": "repa",
        "RepaConfig": "config",
    },
)
