"""Contract tests that every metric must pass."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

from nanogen_core.tensors import Batch
from nanogen_eval.protocols import Metric, Resampled
from nanogen_eval.score import canonical
from nanogen_eval.score_names import HasScoreNames

Build = Callable[[], Metric]


class MetricContract:
    """Base class of contract tests. A subclass must define two pytest fixtures.

    Fixtures:
        build: Function that returns a new metric.
        examples: Batch of at least six examples. Any four of them must be enough for a score. Images [N, 3, S, S] are
            in [-1, 1] on the 8-bit grid (`nanogen_eval.pixels.on_grid`). The batch has the
            labels or captions that the metric needs.
    """

    tolerance: float = 1e-6  # relative tolerance between batch sizes and orders; use 1e-9 for metrics without a network

    def score(self, build: Build, examples: Batch, parts: Sequence[Tensor]) -> Mapping[str, float]:
        """Return the scores of a new metric after one update per part. A part [n] selects rows of `examples`."""
        return updated(build(), examples, parts).compute()

    def same(self, first: Mapping[str, float], second: Mapping[str, float]) -> bool:
        """Return whether two results have equal names, and values within the tolerance."""
        close = (math.isclose(first[name], second[name], rel_tol=self.tolerance, abs_tol=1e-12) for name in first)
        return first.keys() == second.keys() and all(close)

    # -- attributes --------------------------------------------------------------------------------------------------

    def test_higher_is_better_is_a_bool(self, build: Build) -> None:
        assert type(build().higher_is_better) is bool

    def test_settings_are_plain_json(self, build: Build) -> None:
        text = canonical(build().settings)  # raises for values that have no JSON form
        assert canonical(json.loads(text)) == text

    def test_equal_metrics_have_equal_settings(self, build: Build, examples: Batch) -> None:
        """Settings must not contain accumulated values or memory addresses."""
        used = build()
        used.update(_images(examples).clone(), examples)
        assert canonical(used.settings) == canonical(build().settings)

    # -- scores ------------------------------------------------------------------------------------------------------

    def test_scores_are_finite_floats_by_name(self, build: Build, examples: Batch) -> None:
        scores = self.score(build, examples, _all_rows(examples))
        assert scores
        assert all(isinstance(name, str) and type(value) is float for name, value in scores.items())
        assert all(map(math.isfinite, scores.values()))

    def test_score_names_lists_all_scores(self, build: Build, examples: Batch) -> None:
        metric = build()
        if isinstance(metric, HasScoreNames):
            assert set(updated(metric, examples, _all_rows(examples)).compute()) <= set(metric.score_names)

    def test_scores_do_not_depend_on_batch_size(self, build: Build, examples: Batch) -> None:
        expected = self.score(build, examples, _all_rows(examples))
        for size in (1, 4):
            assert self.same(expected, self.score(build, examples, _split(_rows(examples), size)))

    def test_scores_do_not_depend_on_order(self, build: Build, examples: Batch) -> None:
        expected = self.score(build, examples, _all_rows(examples))
        rows = _rows(examples)
        shuffled = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))]
        for order in (rows.flip(0), shuffled):
            assert self.same(expected, self.score(build, examples, _split(order, 4)))

    def test_compute_does_not_change_the_state(self, build: Build, examples: Batch) -> None:
        metric = updated(build(), examples, [_rows(examples)[:4]])
        assert metric.compute() == metric.compute()
        updated(metric, examples, [_rows(examples)[4:]])
        assert self.same(metric.compute(), self.score(build, examples, _all_rows(examples)))

    def test_reset_discards_all_images(self, build: Build, examples: Batch) -> None:
        metric = updated(build(), examples, [_rows(examples)[:4]])
        metric.reset()
        part = [_rows(examples)[2:]]
        assert self.same(updated(metric, examples, part).compute(), self.score(build, examples, part))

    def test_update_does_not_change_the_images(self, build: Build, examples: Batch) -> None:
        images = _images(examples).clone()
        build().update(images, examples._replace(images=images))
        assert torch.equal(images, _images(examples))

    def test_scores_do_not_depend_on_the_global_generators(self, build: Build, examples: Batch) -> None:
        """Building a network may draw from the global generators. Computing a score may not."""
        scores = []
        for seed in (0, 1):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                scores.append(self.score(build, examples, _all_rows(examples)))
        assert scores[0] == scores[1]

    # -- state and merge ---------------------------------------------------------------------------------------------

    def test_merged_parts_equal_one_pass(self, build: Build, examples: Batch) -> None:
        expected = self.score(build, examples, _all_rows(examples))
        halves = (_rows(examples)[::2], _rows(examples)[1::2])
        first, second = (updated(build(), examples, [half]).state() for half in halves)
        for states in ((first, second), (second, first)):
            metric = build()
            for state in states:
                metric.merge(state)
            assert self.same(expected, metric.compute())

    def test_update_works_after_a_merge(self, build: Build, examples: Batch) -> None:
        metric = build()
        metric.merge(updated(build(), examples, [_rows(examples)[:4]]).state())
        updated(metric, examples, [_rows(examples)[4:]])
        assert self.same(metric.compute(), self.score(build, examples, _all_rows(examples)))

    def test_merging_an_empty_state_changes_nothing(self, build: Build, examples: Batch) -> None:
        metric = updated(build(), examples, _all_rows(examples))
        before = metric.compute()
        metric.merge(build().state())
        assert metric.compute() == before
        metric = build()
        metric.merge(build().state())
        updated(metric, examples, _all_rows(examples))
        assert metric.compute() == before

    def test_the_state_survives_a_file(self, build: Build, examples: Batch) -> None:
        """The state must be CPU tensors that safetensors can write. A restored metric has exactly equal scores."""
        metric = updated(build(), examples, _all_rows(examples))
        state = metric.state()
        assert all(tensor.device.type == "cpu" for tensor in state.values())
        restored = build()
        restored.merge(load(save({name: tensor.contiguous() for name, tensor in state.items()})))
        assert restored.compute() == metric.compute()

    # -- intervals ---------------------------------------------------------------------------------------------------

    def test_resampling_every_unit_once_gives_the_score(self, build: Build, examples: Batch) -> None:
        metric = _resampled(updated(build(), examples, _all_rows(examples)))
        units = torch.arange(metric.units)
        assert 0 < metric.units <= len(examples.indices)
        assert self.same(metric.resampled(units), self.score(build, examples, _all_rows(examples)))
        assert self.same(metric.resampled(units.flip(0)), metric.resampled(units))

    def test_units_do_not_depend_on_the_order_of_updates(self, build: Build, examples: Batch) -> None:
        forward = _resampled(updated(build(), examples, _split(_rows(examples), 4)))
        backward = _resampled(updated(build(), examples, _split(_rows(examples).flip(0), 3)))
        units = torch.arange(forward.units)[1:].repeat(2)  # every unit but the first, twice
        assert forward.units == backward.units
        assert self.same(forward.resampled(units), backward.resampled(units))


def updated(metric: Metric, examples: Batch, parts: Sequence[Tensor]) -> Metric:
    """Update a metric once per part and return it. A part [n] selects rows of `examples`."""
    for rows in parts:
        part = _selected(examples, rows)
        metric.update(_images(part), part)
    return metric


def _selected(examples: Batch, rows: Tensor) -> Batch:
    captions = examples.captions
    return Batch(
        indices=examples.indices[rows],
        images=_images(examples)[rows],
        labels=None if examples.labels is None else examples.labels[rows],
        captions=None if captions is None else [captions[row] for row in rows.tolist()],
        extras={name: value[rows] for name, value in examples.extras.items()},
    )


def _rows(examples: Batch) -> Tensor:
    return torch.arange(len(examples.indices))


def _split(rows: Tensor, size: int) -> list[Tensor]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def _all_rows(examples: Batch) -> list[Tensor]:
    return [_rows(examples)]


def _images(examples: Batch) -> Tensor:
    assert examples.images is not None, "the fixture `examples` needs images"
    return examples.images


def _resampled(metric: Metric) -> Resampled:
    if not isinstance(metric, Resampled):
        pytest.skip("the metric is not Resampled, so it has no bootstrap interval")
    return metric
