"""What every metric must do."""

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
from nanogen_eval.score_names import Naming

Build = Callable[[], Metric]


class MetricContract:
    """Asks for the fixtures `build`, which makes a fresh metric at every call, and `examples`: a batch of at least six
    examples, of which any four are enough for a score, with images [N, 3, S, S] in [-1, 1] on the 8-bit grid
    (`nanogen_eval.pixels`) and the labels or captions that it reads."""

    tolerance: float = 1e-6  # relative, of a score in other batches or another order; 1e-9 where no network runs

    def score(self, build: Build, examples: Batch, parts: Sequence[Tensor]) -> Mapping[str, float]:
        """The scores of a fresh metric that is shown these rows of the examples in turn."""
        return shown(build(), examples, parts).compute()

    def same(self, first: Mapping[str, float], second: Mapping[str, float]) -> bool:
        """Whether two results have the same names, and numbers within the tolerance."""
        close = (math.isclose(first[name], second[name], rel_tol=self.tolerance, abs_tol=1e-12) for name in first)
        return first.keys() == second.keys() and all(close)

    # -- what it says of itself --------------------------------------------------------------------------------------

    def test_it_says_which_way_it_points(self, build: Build) -> None:
        assert type(build().higher_is_better) is bool

    def test_settings_are_plain_json(self, build: Build) -> None:
        text = canonical(build().settings)  # raises for what a score cannot carry
        assert canonical(json.loads(text)) == text

    def test_equal_metrics_have_equal_settings(self, build: Build, examples: Batch) -> None:
        """What it has seen, or where it lies in memory, is no setting."""
        used = build()
        used.update(_images(examples).clone(), examples)
        assert canonical(used.settings) == canonical(build().settings)

    # -- scores ------------------------------------------------------------------------------------------------------

    def test_scores_are_numbers_by_name(self, build: Build, examples: Batch) -> None:
        scores = self.score(build, examples, _whole(examples))
        assert scores
        assert all(isinstance(name, str) and type(value) is float for name, value in scores.items())
        assert all(map(math.isfinite, scores.values()))

    def test_a_metric_that_names_its_scores_gives_no_others(self, build: Build, examples: Batch) -> None:
        metric = build()
        if isinstance(metric, Naming):
            assert set(shown(metric, examples, _whole(examples)).compute()) <= set(metric.score_names)

    def test_another_batch_size_changes_nothing(self, build: Build, examples: Batch) -> None:
        together = self.score(build, examples, _whole(examples))
        for size in (1, 4):
            assert self.same(together, self.score(build, examples, _split(_rows(examples), size)))

    def test_another_order_changes_nothing(self, build: Build, examples: Batch) -> None:
        together = self.score(build, examples, _whole(examples))
        rows = _rows(examples)
        shuffled = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))]
        for order in (rows.flip(0), shuffled):
            assert self.same(together, self.score(build, examples, _split(order, 4)))

    def test_computing_changes_nothing(self, build: Build, examples: Batch) -> None:
        metric = shown(build(), examples, [_rows(examples)[:4]])
        assert metric.compute() == metric.compute()
        shown(metric, examples, [_rows(examples)[4:]])
        assert self.same(metric.compute(), self.score(build, examples, _whole(examples)))

    def test_reset_forgets(self, build: Build, examples: Batch) -> None:
        metric = shown(build(), examples, [_rows(examples)[:4]])
        metric.reset()
        assert self.same(
            shown(metric, examples, [_rows(examples)[2:]]).compute(), self.score(build, examples, [_rows(examples)[2:]])
        )

    def test_images_are_left_as_they_are(self, build: Build, examples: Batch) -> None:
        images = _images(examples).clone()
        build().update(images, examples._replace(images=images))
        assert torch.equal(images, _images(examples))

    def test_scores_do_not_hang_on_the_global_generators(self, build: Build, examples: Batch) -> None:
        """Building a network may draw from them; a score may not."""
        scores = []
        for seed in (0, 1):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                scores.append(self.score(build, examples, _whole(examples)))
        assert scores[0] == scores[1]

    # -- over processes, and after a stop ----------------------------------------------------------------------------

    def test_merged_parts_are_one_pass(self, build: Build, examples: Batch) -> None:
        together = self.score(build, examples, _whole(examples))
        halves = (_rows(examples)[::2], _rows(examples)[1::2])
        first, second = (shown(build(), examples, [half]).state() for half in halves)
        for states in ((first, second), (second, first)):
            metric = build()
            for state in states:
                metric.merge(state)
            assert self.same(together, metric.compute())

    def test_it_goes_on_after_a_merge(self, build: Build, examples: Batch) -> None:
        metric = build()
        metric.merge(shown(build(), examples, [_rows(examples)[:4]]).state())
        shown(metric, examples, [_rows(examples)[4:]])
        assert self.same(metric.compute(), self.score(build, examples, _whole(examples)))

    def test_nothing_seen_adds_nothing(self, build: Build, examples: Batch) -> None:
        metric = shown(build(), examples, _whole(examples))
        before = metric.compute()
        metric.merge(build().state())
        assert metric.compute() == before
        metric = build()
        metric.merge(build().state())
        shown(metric, examples, _whole(examples))
        assert metric.compute() == before

    def test_the_state_fits_a_file(self, build: Build, examples: Batch) -> None:
        """Tensors on the CPU that safetensors writes; what comes back gives the very same scores."""
        metric = shown(build(), examples, _whole(examples))
        state = metric.state()
        assert all(tensor.device.type == "cpu" for tensor in state.values())
        restored = build()
        restored.merge(load(save({name: tensor.contiguous() for name, tensor in state.items()})))
        assert restored.compute() == metric.compute()

    # -- intervals ---------------------------------------------------------------------------------------------------

    def test_all_units_once_are_the_score(self, build: Build, examples: Batch) -> None:
        metric = _resampled(shown(build(), examples, _whole(examples)))
        everyone = torch.arange(metric.units)
        assert 0 < metric.units <= len(examples.indices)
        assert self.same(metric.resampled(everyone), self.score(build, examples, _whole(examples)))
        assert self.same(metric.resampled(everyone.flip(0)), metric.resampled(everyone))

    def test_units_are_the_same_in_any_order_of_arrival(self, build: Build, examples: Batch) -> None:
        forward = _resampled(shown(build(), examples, _split(_rows(examples), 4)))
        backward = _resampled(shown(build(), examples, _split(_rows(examples).flip(0), 3)))
        units = torch.arange(forward.units)[1:].repeat(2)  # without the first one, the others twice
        assert forward.units == backward.units
        assert self.same(forward.resampled(units), backward.resampled(units))


def shown(metric: Metric, examples: Batch, parts: Sequence[Tensor]) -> Metric:
    """The metric, after it was shown these rows of the examples in turn."""
    for rows in parts:
        part = _taken(examples, rows)
        metric.update(_images(part), part)
    return metric


def _taken(examples: Batch, rows: Tensor) -> Batch:
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


def _whole(examples: Batch) -> list[Tensor]:
    return [_rows(examples)]


def _images(examples: Batch) -> Tensor:
    assert examples.images is not None, "the fixture `examples` needs images"
    return examples.images


def _resampled(metric: Metric) -> Resampled:
    if not isinstance(metric, Resampled):
        pytest.skip("its scores have no bootstrap interval")
    return metric
