"""Isolation of an evaluation from a training in the same process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from nanogen_data.loader import unsharded


@contextmanager
def isolated_rng() -> Iterator[None]:
    """Restore torch's global random generators after the block, and read datasets unsharded inside it.

    Scores do not draw from the global generators. Building a metric's network may.
    """
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with unsharded(), torch.random.fork_rng(devices=devices):
        yield
