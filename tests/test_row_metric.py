"""The base classes of metrics that store a row for each image."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from nanogen_core.errors import NanoGenError
from nanogen_core.tensors import Batch
from nanogen_eval import Resampled, ResampledRowMetric, RowMetric

GROUPS, VALUES = torch.tensor([7, -3, 7, 7, 0]), torch.arange(5, dtype=torch.float64)


class Values(RowMetric):
    """Stores the value of the first pixel."""

    def measure(self, images: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        return {"value": images[:, 0, 0, 0], **batch.extras}

    def score(self, rows: Mapping[str, Tensor]) -> Mapping[str, float]:
        return {"mean": float(rows["value"].mean()), "count": float(len(rows["value"]))}


class ByImage(Values, ResampledRowMetric):
    pass


class ByGroup(ByImage):
    unit_column = "group"


def shown(metric: RowMetric, indices: list[int]) -> RowMetric:
    rows = torch.tensor(indices)
    images = VALUES[rows][:, None, None, None].expand(-1, 3, 2, 2)
    metric.update(images, Batch(rows, images=images, extras={"group": GROUPS[rows]}))
    return metric


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4], [4, 2, 0, 3, 1]])
def test_units_are_groups_of_any_size(order: list[int]) -> None:
    metric = shown(ByGroup(), order)
    assert metric.units == 3
    images = {0: [1], 1: [4], 2: [0, 2, 3]}  # of each unit, in the order of the group numbers
    for drawn in ([0], [2], [2, 0], [1, 1, 2], [0, 1, 2]):
        chosen = [image for unit in drawn for image in images[unit]]
        expected = {"mean": sum(chosen) / len(chosen), "count": len(chosen)}
        assert metric.resampled(torch.tensor(drawn)) == pytest.approx(expected)
    assert metric.resampled(torch.tensor([], dtype=torch.int64)) == {}


def test_units_are_images_by_default() -> None:
    metric = shown(ByImage(), [3, 1, 4])
    assert metric.units == 3
    assert metric.resampled(torch.tensor([2, 0, 2])) == {"mean": 3.0, "count": 3.0}  # values 4, 1, 4


def test_a_metric_without_units_has_no_interval() -> None:
    assert isinstance(ByImage(), Resampled)
    assert not isinstance(Values(), Resampled)


def test_no_images_give_no_score_and_reset_discards_rows() -> None:
    metric = ByGroup()
    assert (metric.compute(), metric.units) == ({}, 0)
    assert shown(metric, [0]).units == 1
    metric.reset()
    assert (metric.compute(), metric.units) == ({}, 0)


def test_groups_follow_the_rows_after_a_reset_and_a_merge() -> None:
    metric = shown(ByGroup(), [0, 2, 3])
    assert metric.units == 1
    metric.reset()
    assert shown(metric, [0, 1, 4]).units == 3  # as many rows as before
    metric.merge(shown(ByGroup(), [2, 3]).state())
    assert metric.resampled(torch.tensor([2]))["count"] == 3


def test_an_image_that_is_seen_twice_counts_once() -> None:
    assert shown(shown(ByImage(), [0, 3]), [3, 0]).compute() == {"mean": 1.5, "count": 2.0}


def test_values_that_are_not_finite_are_refused() -> None:
    images = torch.full((1, 3, 2, 2), torch.nan)
    with pytest.raises(NanoGenError, match="Values measured 'value' values that are not finite.*float16.*`dtype`"):
        Values().update(images, Batch(torch.arange(1), images=images))
