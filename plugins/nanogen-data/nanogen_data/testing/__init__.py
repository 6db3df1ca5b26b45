"""Contract tests for components that read files, and small working components. Requires pytest."""

from typing import TYPE_CHECKING

import pytest

from nanogen_files.exports import lazy_exports

if TYPE_CHECKING:
    from nanogen_data.testing.files import FilesContract

pytest.register_assert_rewrite(f"{__name__}.files")

__all__ = ["FilesContract"]

__getattr__, __dir__ = lazy_exports(__name__, {"FilesContract": "files"})
