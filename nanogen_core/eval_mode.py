"""Context manager that switches modules to evaluation mode and restores their modes afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn


@contextmanager
def eval_mode(*parts: Any) -> Iterator[None]:
    """Switch modules to evaluation mode inside a `with` block. Afterwards each submodule has its former mode.

    `parts` are modules or objects whose attributes hold modules. Other objects are ignored.
    """
    modes = {module: module.training for part in parts for held in modules_of(part) for module in held.modules()}
    for module in modes:
        module.training = False
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def modules_of(part: Any) -> list[nn.Module]:
    """Return `[part]` for a module, otherwise the modules among the attributes of `part`."""
    if isinstance(part, nn.Module):
        return [part]
    return [value for value in getattr(part, "__dict__", {}).values() if isinstance(value, nn.Module)]
