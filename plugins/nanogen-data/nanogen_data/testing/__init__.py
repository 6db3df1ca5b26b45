"""The contract of parts that read files. It needs pytest."""

import pytest

pytest.register_assert_rewrite(f"{__name__}.files")

from nanogen_data.testing.files import FilesContract  # noqa: E402

__all__ = ["FilesContract"]
