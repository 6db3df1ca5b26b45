"""Labels beside judged images: a metric that has no classes of its own takes those of the configuration."""

import pytest
import torch
from attrs import evolve

from nanogen_core import registry
from nanogen_core.errors import DataError
from nanogen_core.registry import Offer
from nanogen_core.specs import Component
from nanogen_core.tensors import Batch
from nanogen_eval import metric_factory as judges


@pytest.fixture
def asking(monkeypatch):
    """A metric that judges by labels and does not say how many classes there are."""
    known = registry.registry()
    target = "nanogen_eval.testing.fakes:TinyRedness"
    offer = Offer(Component(kind="metric", name="asking", target=target, needs={"task": {"labels"}}), "tests")
    metrics = {**known.components["metric"], "asking": (offer,)}
    extended = evolve(known, components={**known.components, "metric": metrics})
    monkeypatch.setattr(registry, "collect", lambda discovery: extended)
    registry.registry.cache_clear()
    yield
    registry.registry.cache_clear()


def labelled(*labels):
    return Batch(torch.arange(len(labels)), labels=torch.tensor(labels))


def test_the_configuration_says_how_many_classes_there_are(small, asking):
    assert list(judges.of_images(labelled(0, 63), ["asking"], {}, small)) == ["asking"]
    sentence = r"The label of image 1 is 64; labels must be integers from 0 to 63 \(64 classes\)\..*'asking'"
    with pytest.raises(DataError, match=sentence):
        judges.of_images(labelled(0, 64), ["asking"], {}, small)


def test_without_a_configuration_nobody_knows(asking):
    assert list(judges.of_images(labelled(0, 64), ["asking"], {})) == ["asking"]


def test_labels_that_no_metric_asks_for_are_not_looked_at(small):
    assert list(judges.of_images(labelled(0, 64), ["openmoji-frechet"], {}, small)) == ["openmoji-frechet"]
