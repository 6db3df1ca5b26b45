"""The contract kit for plugin authors: write a fixture, subclass a contract, and the tests are yours.

    from nanogen_core.testing import TokenizerContract

    @pytest.fixture
    def tokenizer():
        return Mine(MineConfig())

    class TestMine(TokenizerContract):
        pass

Each contract says which fixtures it asks for and which class attributes set it to the component at hand.
`nanogen_core.testing.fakes` holds small working parts to combine one's own with. The contracts need pytest.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from nanogen_core.testing.backbone import BackboneContract
    from nanogen_core.testing.conditioner import ConditionerContract
    from nanogen_core.testing.objective import ObjectiveContract
    from nanogen_core.testing.plugin import PluginContract
    from nanogen_core.testing.task import TaskContract
    from nanogen_core.testing.tokenizer import TokenizerContract

__all__ = [
    "BackboneContract",
    "ConditionerContract",
    "ObjectiveContract",
    "PluginContract",
    "TaskContract",
    "TokenizerContract",
]

# A failing `assert` of a contract then shows its values in the plugin's own test run.
for _name in __all__:
    pytest.register_assert_rewrite(f"{__name__}.{_name.removesuffix('Contract').lower()}")


def __getattr__(name: str) -> Any:
    """Loads a contract when it is asked for: a manifest is tested without torch."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{name.removesuffix('Contract').lower()}"), name)
