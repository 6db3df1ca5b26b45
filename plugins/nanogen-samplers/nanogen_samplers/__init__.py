"""Samplers for every linear path: an SDE, DPM-Solver++(2M) and UniPC."""

from typing import TYPE_CHECKING

from nanogen_files.exports import lazy_exports

if TYPE_CHECKING:
    from nanogen_samplers.config import MultistepConfig, SDEConfig
    from nanogen_samplers.multistep import DPMSolver2M, UniPC
    from nanogen_samplers.path import PathPoint, path_points
    from nanogen_samplers.sde import SDE

__all__ = [
    "SDE",
    "DPMSolver2M",
    "MultistepConfig",
    "PathPoint",
    "SDEConfig",
    "UniPC",
    "path_points",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "SDE": "sde",
        "DPMSolver2M": "multistep",
        "MultistepConfig": "config",
        "PathPoint": "path",
        "SDEConfig": "config",
        "UniPC": "multistep",
        "path_points": "path",
    },
)
