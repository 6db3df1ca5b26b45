"""Lazy exports at a package root (PEP 562): public names are imported on first access."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_exports(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the module functions `__getattr__` and `__dir__` of a package.

    Usage in `__init__.py`: `__getattr__, __dir__ = lazy_exports(__name__, {"Flow": "objective"})`.

    Args:
        package: The package's `__name__`.
        homes: Public name -> the submodule that defines it.
    """

    def getattr_(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{homes[name]}"), name)

    return getattr_, lambda: sorted(homes)
