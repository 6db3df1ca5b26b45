"""Jobs on this machine and on SLURM, by submitit."""

from typing import TYPE_CHECKING

from nanogen_files.exports import lazy_exports

if TYPE_CHECKING:
    from nanogen_cluster.command import Command
    from nanogen_cluster.queues import LocalQueue, SlurmQueue, Submission
    from nanogen_cluster.resources import Resources

__all__ = [
    "Command",
    "LocalQueue",
    "Resources",
    "SlurmQueue",
    "Submission",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "Command": "command",
        "LocalQueue": "queues",
        "Resources": "resources",
        "SlurmQueue": "queues",
        "Submission": "queues",
    },
)
