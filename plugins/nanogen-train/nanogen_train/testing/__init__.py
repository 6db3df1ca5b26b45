"""Contract tests for auxiliary losses and stages. Requires pytest."""

from typing import TYPE_CHECKING

import pytest

from nanogen_files.exports import lazy_exports

if TYPE_CHECKING:
    from nanogen_train.testing.auxiliary import AuxiliaryContract
    from nanogen_train.testing.stage import StageContract

__all__ = ["AuxiliaryContract", "StageContract"]

for _name in ("auxiliary", "stage"):
    pytest.register_assert_rewrite(f"{__name__}.{_name}")

__getattr__, __dir__ = lazy_exports(__name__, {"AuxiliaryContract": "auxiliary", "StageContract": "stage"})
