"""Tools for authors of plugins: generate a project, check an installed plugin, train small configurations briefly."""

from typing import TYPE_CHECKING

from nanogen_files.exports import lazy_exports

if TYPE_CHECKING:
    from nanogen_scaffold.checks.check import check_plugin
    from nanogen_scaffold.checks.report import Check, Report
    from nanogen_scaffold.project import new_project
    from nanogen_scaffold.small import Trained, short_training, small_config, small_pipeline

__all__ = [
    "Check",
    "Report",
    "Trained",
    "check_plugin",
    "new_project",
    "short_training",
    "small_config",
    "small_pipeline",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "Check": "checks.report",
        "Report": "checks.report",
        "Trained": "small",
        "check_plugin": "checks.check",
        "new_project": "project",
        "short_training": "small",
        "small_config": "small",
        "small_pipeline": "small",
    },
)
