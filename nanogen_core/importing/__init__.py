"""Published checkpoints as pipelines. What a checkpoint's tensors do not decide must be said; nothing is guessed."""

from nanogen_core.importing.checkpoint import Checkpoint, Importer, Undecided, Unrecognised
from nanogen_core.importing.decisions import Decision
from nanogen_core.importing.load import Imported, import_checkpoint, import_file
from nanogen_core.importing.weights import Weights, WeightsFile, choose, has, read_weights

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
