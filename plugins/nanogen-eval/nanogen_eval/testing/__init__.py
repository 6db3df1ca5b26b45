"""Contract tests for metrics. Needs pytest."""

import pytest

pytest.register_assert_rewrite(f"{__name__}.metric")

from nanogen_eval.testing.metric import MetricContract  # noqa: E402

__all__ = ["MetricContract"]
