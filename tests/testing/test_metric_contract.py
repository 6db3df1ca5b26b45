"""Metrics that are wrong in one way, and the tests of the contract that say so."""

import time

import pytest
import torch
from contracts import failures

from nanogen_data.testing.fakes import TinyDataset, TinyTask
from nanogen_eval.pixels import on_grid
from nanogen_eval.testing import MetricContract
from nanogen_eval.testing.fakes import TinyColour, TinyRedness


class Pointless(TinyColour):
    higher_is_better = None


class Undecided(TinyColour):
    def __init__(self):
        super().__init__()
        self.settings = {"colours": {"red", "green"}}


class Restless(TinyColour):
    def __init__(self):
        super().__init__()
        self.settings = {"built": time.perf_counter_ns()}


class Forgetful(TinyColour):
    """Its settings speak of what it saw."""

    def update(self, images, batch):
        super().update(images, batch)
        self.settings = {**self.settings, "seen": len(batch.indices)}


class TensorScore(TinyColour):
    def score(self, rows):
        return {name: torch.tensor(value) for name, value in super().score(rows).items()}


class NoNumber(TinyRedness):
    def compute(self):
        return {"redness": float("nan")}


class MeanOfMeans(TinyRedness):
    """Every batch counts the same, whatever its size."""

    def update(self, images, batch):
        self._sum += torch.tensor([float(images[:, 0].double().mean()), 1.0], dtype=torch.float64)


class Drifting(TinyRedness):
    """The later an image comes, the more it counts."""

    def update(self, images, batch):
        self._sum = self._sum / 2
        super().update(images, batch)


class LowPrecision(TinyRedness):
    """A sum of whole numbers loses what small images add."""

    def update(self, images, batch):
        super().update(images, batch)
        self._sum = (self._sum / 64).round() * 64


class ComputeForgets(TinyColour):
    def compute(self):
        scores = super().compute()
        self.reset()
        return scores


class NoReset(TinyColour):
    def reset(self):
        if not hasattr(self, "_rows"):
            super().reset()


class Scribbles(TinyColour):
    def update(self, images, batch):
        super().update(images, batch)
        images.clamp_(-0.5, 0.5)


class GlobalChance(TinyRedness):
    def compute(self):
        return {name: value + 1e-9 * float(torch.rand(())) for name, value in super().compute().items()}


class KeepsItsOwn(TinyColour):
    def merge(self, state):
        if not len(self._rows):
            super().merge(state)


class MergeReplaces(TinyRedness):
    def merge(self, state):
        self._sum = state["sum"].clone()


class ObjectState(TinyColour):
    def state(self):
        return {name: value[::2] if len(value) > 5 else value for name, value in super().state().items()}


class LastPicture(TinyColour):
    """Resampling reads the pictures as they came."""

    def update(self, images, batch):
        super().update(images, batch)
        self._last = (images.double().mean(dim=(2, 3)).argmax(dim=1) == batch.labels).double()

    def resampled(self, units):
        scores = super().resampled(units)
        distinct = len(units.unique()) == len(units)
        return scores if distinct else {"colour": scores["colour"] + float(self._last[0]) + len(self._last)}


class Cut(TinyColour):
    """The score leaves out an image that resampling has."""

    def compute(self):
        return self.resampled(torch.arange(self.units)[1:])


SCORES = {"scores_do_not_depend_on_batch_size", "scores_do_not_depend_on_order"}
BROKEN = {
    Pointless: {"higher_is_better_is_a_bool"},
    Undecided: {"settings_are_plain_json", "equal_metrics_have_equal_settings"},
    Restless: {"equal_metrics_have_equal_settings"},
    Forgetful: {"equal_metrics_have_equal_settings"},
    TensorScore: {"scores_are_finite_floats_by_name"},
    NoNumber: {"scores_are_finite_floats_by_name"},
    MeanOfMeans: {"scores_do_not_depend_on_batch_size"},
    Drifting: SCORES,
    LowPrecision: {"scores_do_not_depend_on_batch_size"},
    ComputeForgets: {"compute_does_not_change_the_state"},
    NoReset: {"reset_discards_all_images"},
    Scribbles: {"update_does_not_change_the_images"},
    GlobalChance: {"scores_do_not_depend_on_the_global_generators"},
    KeepsItsOwn: {"merged_parts_equal_one_pass"},
    MergeReplaces: {"merged_parts_equal_one_pass", "merging_an_empty_state_changes_nothing"},
    ObjectState: {"the_state_survives_a_file"},
    LastPicture: {"units_do_not_depend_on_the_order_of_updates"},
    Cut: {"resampling_every_unit_once_gives_the_score"},
}


@pytest.fixture
def examples():
    batch = next(TinyTask(dataset=TinyDataset(), image_size=16).iter_once("train", 9))
    wrong = torch.tensor([0, 0, 0, 0, 1, 0, 0, 0, 1])  # so that every part of it has a score of its own
    labels = (batch.labels + wrong) % 3
    return batch._replace(images=on_grid(batch.images), labels=labels)


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_metric_is_caught(broken, examples):
    assert BROKEN[broken] <= failures(MetricContract, build=broken, examples=examples)


@pytest.mark.parametrize("healthy", [TinyColour, TinyRedness])
def test_a_healthy_metric_holds(healthy, examples):
    assert failures(MetricContract, build=healthy, examples=examples) == set()
