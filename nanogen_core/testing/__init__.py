"""Contract tests for plugin authors. Subclass a contract and define its fixtures; pytest collects the tests.

    from nanogen_core.testing import TokenizerContract

    @pytest.fixture
    def tokenizer():
        return Mine(MineConfig())

    class TestMine(TokenizerContract):
        pass

The docstring of a contract lists its fixtures and class attributes. The attributes adapt it to the tested component.
Requires pytest.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from nanogen_core.testing.backbone import BackboneContract
    from nanogen_core.testing.conditioner import ConditionerContract
    from nanogen_core.testing.guidance import GuidanceContract
    from nanogen_core.testing.objective import ObjectiveContract
    from nanogen_core.testing.plugin import PluginContract
    from nanogen_core.testing.sampler import SamplerContract
    from nanogen_core.testing.task import TaskContract
    from nanogen_core.testing.tokenizer import TokenizerContract

__all__ = [
    "BackboneContract",
    "ConditionerContract",
    "GuidanceContract",
    "ObjectiveContract",
    "PluginContract",
    "SamplerContract",
    "TaskContract",
    "TokenizerContract",
]

# Show the values of a failing `assert` of a contract in the test run of the plugin.
for _name in __all__:
    pytest.register_assert_rewrite(f"{__name__}.{_name.removesuffix('Contract').lower()}")


def __getattr__(name: str) -> Any:
    """Import a contract on first access, so that PluginContract works without torch."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{name.removesuffix('Contract').lower()}"), name)
