"""Runs a contract by hand on given parts, to see which of its tests fail."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest


def failures(contract: type, **fixtures: Any) -> set[str]:
    """The names of the tests of a contract that do not hold for these fixtures, without `test_`."""
    methods = {name: test for name, test in inspect.getmembers(contract(), callable) if name.startswith("test_")}
    return {name.removeprefix("test_") for name, test in methods.items() if not _holds(test, fixtures)}


def _holds(test: Callable[..., None], fixtures: dict[str, Any]) -> bool:
    try:
        test(**{name: fixtures[name] for name in inspect.signature(test).parameters})
    except pytest.skip.Exception:
        return True
    except (Exception, pytest.fail.Exception):  # `pytest.raises` fails with an exception that is no Exception
        return False
    return True
