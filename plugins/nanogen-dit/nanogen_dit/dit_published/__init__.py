"""Checkpoints of the authors of DiT and SiT: the state dicts of their public classes."""

from nanogen_dit.dit_published.importer import SiTCheckpoint, read_sit
from nanogen_dit.dit_published.layout import export_sit

__all__ = ["SiTCheckpoint", "export_sit", "read_sit"]
