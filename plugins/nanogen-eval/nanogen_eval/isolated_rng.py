"""Evaluating changes nothing in what goes on around it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from nanogen_data.loader import unsharded


@contextmanager
def aside() -> Iterator[None]:
    """Inside the block data are read as a whole, not the part of this process; after it, torch's global generators are
    as they were before. No score draws from them, but a judge's network does that is built when it is first asked."""
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with unsharded(), torch.random.fork_rng(devices=devices):
        yield
