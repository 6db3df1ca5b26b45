"""Finds operations that would wait for a GPU."""

from contextlib import contextmanager

import torch
from torch.utils._python_dispatch import TorchDispatchMode

#: Operators whose result has values or a size that only the device knows.
READS = {"_local_scalar_dense", "is_nonzero", "equal", "nonzero", "masked_select", "_unique2", "unique_dim"}


class Waits(TorchDispatchMode):
    """Collects the names of operators that wait, such as `.item()` and an index by a mask."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func._schema.name.removeprefix("aten::")
        indices = args[1] if name in ("index", "index_put", "index_put_") else ()
        by_mask = any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in indices)
        if name in READS or by_mask:
            self.found.append(name)
        return func(*args, **(kwargs or {}))


@contextmanager
def waits(monkeypatch):
    """Yield a list of the waiting operations of the block. Tensor.tolist and numpy are not dispatched."""
    with Waits() as mode, monkeypatch.context() as patched:
        for name in ("tolist", "numpy", "cpu"):
            patched.setattr(torch.Tensor, name, _noted(name, mode.found))
        yield mode.found


def _noted(name, found):
    method = getattr(torch.Tensor, name)

    def call(tensor, *args, **options):
        found.append(name)
        return method(tensor, *args, **options)

    return call
