"""Judging a model by the metrics of its task."""
