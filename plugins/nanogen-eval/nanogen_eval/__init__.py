"""Judging a model by the metrics of its task."""

from typing import TYPE_CHECKING

from nanogen_core.exports import lazy_exports

if TYPE_CHECKING:
    from nanogen_eval.evaluate import Evaluation
    from nanogen_eval.evaluate_pipeline import judge
    from nanogen_eval.protocols import Features, Metric, Resampled
    from nanogen_eval.record import read_scores
    from nanogen_eval.row_metric import ResampledRowMetric, RowMetric
    from nanogen_eval.rows import Rows

__all__ = [
    "Evaluation",
    "Features",
    "Metric",
    "Resampled",
    "ResampledRowMetric",
    "RowMetric",
    "Rows",
    "judge",
    "read_scores",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "Evaluation": "evaluate",
        "Features": "protocols",
        "Metric": "protocols",
        "Resampled": "protocols",
        "ResampledRowMetric": "row_metric",
        "RowMetric": "row_metric",
        "Rows": "rows",
        "judge": "evaluate_pipeline",
        "read_scores": "record",
    },
)
