"""Evaluation of models and images with the metrics of the installed plugins."""

from typing import TYPE_CHECKING

from nanogen_files.exports import lazy_exports

if TYPE_CHECKING:
    from nanogen_eval.evaluate import Evaluation, evaluate_pipeline
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
    "evaluate_pipeline",
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
        "evaluate_pipeline": "evaluate",
        "read_scores": "record",
    },
)
