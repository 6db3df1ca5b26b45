"""Evaluation mode for a while: no dropout, and the averages of a batch norm stand still."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn


@contextmanager
def eval_mode(*parts: Any) -> Iterator[None]:
    """Puts the modules of `parts` into evaluation mode, and afterwards each module into the mode that it had.

    A part is a module, or an object with modules among its attributes. Anything else is ignored.
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
    """The part itself where it is a module, else the modules among its attributes."""
    if isinstance(part, nn.Module):
        return [part]
    return [value for value in getattr(part, "__dict__", {}).values() if isinstance(value, nn.Module)]
