"""Tasks that are wrong in one way, and the test of the contract that says so."""

from itertools import count

import pytest
import torch
from contracts import failures

from nanogen_core.tensors import Batch, Condition
from nanogen_core.testing import TaskContract
from nanogen_core.testing.comparison import same_batch
from nanogen_data.testing.fakes import TinyDataset, TinyLabels, TinyTask

CONDITIONER = TinyLabels(classes=TinyDataset.classes)
COUNTER = count()


class Wrapped(TinyTask):
    """A healthy task whose batches `spoil` changes."""

    def batches(self, split, batch_size, *, seed=0, start=0, num_workers=0):
        return map(self.spoil, super().batches(split, batch_size, seed=seed, start=start))

    def spoil(self, batch):
        return batch


class ZeroToOne(Wrapped):
    def spoil(self, batch):
        return batch._replace(images=(batch.images + 1) / 2)


class Bytes(Wrapped):
    def spoil(self, batch):
        return batch._replace(images=batch.images * 127.5)


class WrongSize(Wrapped):
    def spoil(self, batch):
        return batch._replace(images=batch.images[..., ::2, ::2])


class FloatIndices(Wrapped):
    def spoil(self, batch):
        return batch._replace(indices=batch.indices.float())


class Unlabelled(Wrapped):
    def spoil(self, batch):
        return batch._replace(labels=None)


class UnkeyedExtras(Wrapped):
    """Draws an extra tensor from torch's generator, and restores the generator."""

    def spoil(self, batch):
        state = torch.get_rng_state()
        torch.manual_seed(next(COUNTER))
        extras = {"noise": torch.randn(len(batch.indices), 2)}
        torch.set_rng_state(state)
        return batch._replace(extras=extras)


class Unkeyed(TinyTask):
    def batches(self, split, batch_size, *, seed=0, start=0, num_workers=0):
        return super().batches(split, batch_size, seed=int(torch.randint(1000, ())), start=start)


class FixedOrder(TinyTask):
    def batches(self, split, batch_size, *, seed=0, start=0, num_workers=0):
        return super().batches(split, batch_size, seed=0, start=start)


class ForgetsStart(TinyTask):
    def batches(self, split, batch_size, *, seed=0, start=0, num_workers=0):
        return super().batches(split, batch_size, seed=seed)


class PicturesInRequests(TinyTask):
    def make_batch(self, prompts_or_labels):
        batch = super().make_batch(prompts_or_labels)
        return batch._replace(images=torch.zeros(len(batch.indices), 3, self.image_size, self.image_size))


class Guesses(TinyTask):
    def _label(self, request):
        return 0 if request == -1 else super()._label(request)


class BareError(TinyTask):
    def _label(self, request):
        return request if isinstance(request, int) and request >= 0 else list(self.dataset.classes).index(request)


class TooFew(TinyTask):
    def eval_batch(self, count, *, seed=0):
        return super().eval_batch(count - 1)


class Repeats(TinyTask):
    def iter_once(self, split, batch_size, *, num_workers=0):
        yield from super().iter_once(split, batch_size)
        yield from super().iter_once(split, batch_size)


class Silent(TinyTask):
    def captions(self, batch):
        return ()


BROKEN = {
    ZeroToOne: {"images_have_the_right_size_and_range"},
    Bytes: {"images_have_the_right_size_and_range"},
    WrongSize: {"images_have_the_right_size_and_range"},
    FloatIndices: {"indices_are_int64"},
    Unlabelled: {"conditioner_encodes_batches"},
    UnkeyedExtras: {"equal_seeds_give_equal_batches", "start_skips_batches"},
    Unkeyed: {"equal_seeds_give_equal_batches", "start_skips_batches"},
    FixedOrder: {"another_seed_gives_another_order"},
    ForgetsStart: {"start_skips_batches"},
    PicturesInRequests: {"make_batch_has_no_images"},
    Guesses: {"wrong_request_raises"},
    BareError: {"wrong_request_raises"},
    Repeats: {"iter_once_yields_every_example_once"},
    Silent: {"captions_exist_for_every_row"},
    TooFew: {"eval_batch_has_the_requested_size"},
}


def broken_tests(task_class):
    task = task_class(dataset=TinyDataset(), image_size=16)
    return failures(TaskContract, task=task, conditioner=CONDITIONER, requests=["red", 2])


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_task_is_caught(broken):
    assert broken_tests(broken) == BROKEN[broken]


def test_the_healthy_task_holds():
    assert broken_tests(TinyTask) == set()


def test_batches_with_other_extras_or_conditions_differ():
    batch = Batch(torch.arange(2), extras={"a": torch.ones(2)}, condition=Condition(torch.ones(2, 1, 3)))
    others = [
        batch._replace(extras={}),
        batch._replace(extras={"a": torch.zeros(2)}),
        batch._replace(condition=None),
        batch._replace(condition=Condition(torch.zeros(2, 1, 3))),
        batch._replace(condition=batch.condition._replace(null=torch.ones(2, dtype=torch.bool))),
        batch._replace(condition=batch.condition._replace(extras={"scale": torch.ones(2)})),
    ]
    assert same_batch(batch, batch.part(0, 2))
    assert not any(same_batch(batch, other) or same_batch(other, batch) for other in others)
