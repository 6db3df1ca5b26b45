"""Imports published checkpoints as pipelines. The user gives the options that the tensors do not determine."""

from typing import TYPE_CHECKING

from nanogen_files.exports import lazy_exports

if TYPE_CHECKING:
    from nanogen_import.checkpoint import Checkpoint, Importer, Undecided, Unrecognised
    from nanogen_import.decisions import Decision
    from nanogen_import.load import Imported, import_checkpoint, import_file
    from nanogen_import.weights import Weights, WeightsFile, choose, has, read_weights

__all__ = [
    "Checkpoint",
    "Decision",
    "Imported",
    "Importer",
    "Undecided",
    "Unrecognised",
    "Weights",
    "WeightsFile",
    "choose",
    "has",
    "import_checkpoint",
    "import_file",
    "read_weights",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "Checkpoint": "checkpoint",
        "Decision": "decisions",
        "Imported": "load",
        "Importer": "checkpoint",
        "Undecided": "checkpoint",
        "Unrecognised": "checkpoint",
        "Weights": "weights",
        "WeightsFile": "weights",
        "choose": "weights",
        "has": "weights",
        "import_checkpoint": "load",
        "import_file": "load",
        "read_weights": "weights",
    },
)
