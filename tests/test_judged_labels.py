"""Labels of images are checked against the classes of the metric, or of the configuration."""

import pytest
import torch
from attrs import evolve

from nanogen_core import registry
from nanogen_core.errors import DataError
from nanogen_core.registry import Offer
from nanogen_core.specs import Component
from nanogen_core.tensors import Batch
from nanogen_eval import metric_factory


@pytest.fixture
def unbounded(monkeypatch):
    """Register a metric that needs labels and has no `classes` attribute."""
    known = registry.registry()
    target = "nanogen_eval.testing.fakes:TinyRedness"
    offer = Offer(Component(kind="metric", name="unbounded", target=target, needs={"task": {"labels"}}), "tests")
    metrics = {**known.components["metric"], "unbounded": (offer,)}
    extended = evolve(known, components={**known.components, "metric": metrics})
    monkeypatch.setattr(registry, "collect", lambda discovery: extended)
    registry.registry.cache_clear()
    yield
    registry.registry.cache_clear()


def labelled(*labels):
    return Batch(torch.arange(len(labels)), labels=torch.tensor(labels))


def test_the_number_of_classes_is_read_from_the_configuration(small, unbounded):
    assert list(metric_factory.of_images(labelled(0, 63), ["unbounded"], {}, small)) == ["unbounded"]
    sentence = r"The label of image 1 is 64; labels must be integers from 0 to 63 \(64 classes\)\..*'unbounded'"
    with pytest.raises(DataError, match=sentence):
        metric_factory.of_images(labelled(0, 64), ["unbounded"], {}, small)


def test_without_a_configuration_labels_are_not_checked(unbounded):
    assert list(metric_factory.of_images(labelled(0, 64), ["unbounded"], {})) == ["unbounded"]


def test_labels_that_no_metric_needs_are_not_checked(small):
    assert list(metric_factory.of_images(labelled(0, 64), ["openmoji-frechet"], {}, small)) == ["openmoji-frechet"]
