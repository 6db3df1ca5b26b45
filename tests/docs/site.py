"""`docs/generate.py` as a module."""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from typing import Any

from tests.docs.blocks import ROOT


@lru_cache(maxsize=1)
def generate() -> Any:
    """Import the hook that generates the pages of the site."""
    spec = importlib.util.spec_from_file_location("generate_pages", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
