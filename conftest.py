"""Tests write files without a flush to the disk, which only a power failure can tell from a write."""

from tests.processes import unflushed  # noqa: F401
