"""Checkpoints in the layout of DiffusionBench (arXiv 2606.24888): reading, checking, building, writing."""

from nanogen_dit.published.architecture import Architecture, infer
from nanogen_dit.published.files import Checkpoint, read_checkpoint
from nanogen_dit.published.importer import Published, export_published, import_published, read_published

__all__ = [
    "Architecture",
    "Checkpoint",
    "Published",
    "export_published",
    "import_published",
    "infer",
    "read_checkpoint",
    "read_published",
]
