"""Contract tests for tasks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import pytest
import torch

from nanogen_core.errors import NanoGenError
from nanogen_core.protocols import Conditioner, Task
from nanogen_core.tensors import Batch
from nanogen_core.testing.comparison import global_rng_untouched, same_batch

Requests = Sequence[str | int]


class TaskContract:
    """Contract of a task.

    Fixtures:
        task: The task.
        conditioner: A conditioner that encodes the task's batches.
        requests: A few valid requests, such as class names or captions.

    Attributes:
        split: Split to read.
        batch_size: Batch size to read with.
        wrong_request: A request that the task must refuse.
    """

    split: str = "train"
    batch_size: int = 4
    wrong_request: str | int = -1

    def batches(self, task: Task, count: int, *, seed: int = 0, start: int = 0) -> list[Batch]:
        """Return the first `count` batches."""
        return list(islice(task.batches(self.split, self.batch_size, seed=seed, start=start), count))

    def test_implements_the_protocol(self, task: Task) -> None:
        assert isinstance(task, Task)

    def test_images_have_the_right_size_and_range(self, task: Task) -> None:
        images = self.batches(task, 1)[0].images
        assert images is not None
        assert tuple(images.shape) == (self.batch_size, 3, task.image_size, task.image_size)
        assert images.dtype == torch.float32
        assert images.abs().max() <= 1
        assert images.min() < 0 < images.max()  # fails for images in [0, 1]

    def test_indices_are_int64(self, task: Task) -> None:
        indices = self.batches(task, 1)[0].indices
        assert indices.dtype == torch.int64
        assert indices.shape == (self.batch_size,)

    def test_equal_seeds_give_equal_batches(self, task: Task) -> None:
        with global_rng_untouched():
            first, second = self.batches(task, 3), self.batches(task, 3)
        assert all(map(same_batch, first, second))

    def test_another_seed_gives_another_order(self, task: Task) -> None:
        first, second = self.batches(task, 3), self.batches(task, 3, seed=1)
        assert not all(map(same_batch, first, second))

    def test_start_skips_batches(self, task: Task) -> None:
        assert all(map(same_batch, self.batches(task, 4)[2:], self.batches(task, 2, start=2)))

    def test_conditioner_encodes_batches(self, task: Task, conditioner: Conditioner) -> None:
        assert len(conditioner.encode(self.batches(task, 1)[0]).tokens) == self.batch_size

    def test_make_batch_has_no_images(self, task: Task, conditioner: Conditioner, requests: Requests) -> None:
        batch = task.make_batch(requests)
        assert batch.images is None
        assert batch.indices.tolist() == list(range(len(requests)))
        assert len(conditioner.encode(batch).tokens) == len(requests)

    def test_wrong_request_raises(self, task: Task) -> None:
        with pytest.raises(NanoGenError):
            task.make_batch([self.wrong_request])

    def test_eval_batch_has_the_requested_size(self, task: Task, conditioner: Conditioner) -> None:
        questions = task.eval_batch(5)
        assert len(conditioner.encode(questions).tokens) == 5
        assert same_batch(questions, task.eval_batch(5))

    def test_iter_once_yields_every_example_once(self, task: Task) -> None:
        seen = [index for batch in task.iter_once(self.split, self.batch_size) for index in batch.indices.tolist()]
        assert sorted(seen) == list(range(len(seen)))

    def test_captions_exist_for_every_row(self, task: Task, requests: Requests) -> None:
        for batch in (task.make_batch(requests), self.batches(task, 1)[0]):
            words = task.captions(batch)
            assert len(words) == len(batch.indices)
            assert all(isinstance(word, str) and word for word in words)

    def test_metrics_have_names(self, task: Task) -> None:
        assert all(isinstance(name, str) for name in task.metrics())
