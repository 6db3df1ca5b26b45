"""The contract of metrics, and two small metrics to try others with. The contract needs pytest."""

import pytest

pytest.register_assert_rewrite(f"{__name__}.metric")

from nanogen_eval.testing.metric import MetricContract  # noqa: E402

__all__ = ["MetricContract"]
