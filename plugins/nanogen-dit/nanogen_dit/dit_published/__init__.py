"""State dicts of the public SiT classes: reading, checking, building, writing."""

from nanogen_dit.dit_published.importer import SiTCheckpoint, read_sit
from nanogen_dit.dit_published.layout import export_sit

__all__ = ["SiTCheckpoint", "export_sit", "read_sit"]
