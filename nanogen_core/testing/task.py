"""What every task must do."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import pytest
import torch

from nanogen_core.errors import NanoGenError
from nanogen_core.protocols import Conditioner, Task
from nanogen_core.tensors import Batch
from nanogen_core.testing.comparison import global_state_kept, same_batch

Requests = Sequence[str | int]


class TaskContract:
    """Asks for the fixtures `task`, `conditioner` (one that the task goes with) and `requests` (a few to ask)."""

    split: str = "train"
    batch_size: int = 4
    wrong_request: str | int = -1  # neither a class nor a caption

    def batches(self, task: Task, count: int, *, seed: int = 0, start: int = 0) -> list[Batch]:
        """The first `count` batches."""
        return list(islice(task.batches(self.split, self.batch_size, seed=seed, start=start), count))

    def test_it_follows_the_protocol(self, task: Task) -> None:
        assert isinstance(task, Task)

    def test_images_have_the_stated_size_and_range(self, task: Task) -> None:
        images = self.batches(task, 1)[0].images
        assert images is not None
        assert tuple(images.shape) == (self.batch_size, 3, task.image_size, task.image_size)
        assert images.dtype == torch.float32
        assert images.abs().max() <= 1
        assert images.min() < 0 < images.max()  # [0, 1] is a frequent mistake

    def test_indices_say_where_an_example_stands(self, task: Task) -> None:
        indices = self.batches(task, 1)[0].indices
        assert indices.dtype == torch.int64
        assert indices.shape == (self.batch_size,)

    def test_equal_seeds_give_equal_batches(self, task: Task) -> None:
        with global_state_kept():
            first, second = self.batches(task, 3), self.batches(task, 3)
        assert all(map(same_batch, first, second))

    def test_another_seed_gives_another_order(self, task: Task) -> None:
        first, second = self.batches(task, 3), self.batches(task, 3, seed=1)
        assert not all(map(same_batch, first, second))

    def test_start_skips_batches(self, task: Task) -> None:
        assert all(map(same_batch, self.batches(task, 4)[2:], self.batches(task, 2, start=2)))

    def test_batches_go_with_the_conditioner(self, task: Task, conditioner: Conditioner) -> None:
        assert len(conditioner.encode(self.batches(task, 1)[0]).tokens) == self.batch_size

    def test_a_request_is_a_batch_without_images(
        self, task: Task, conditioner: Conditioner, requests: Requests
    ) -> None:
        batch = task.make_batch(requests)
        assert batch.images is None
        assert batch.indices.tolist() == list(range(len(requests)))
        assert len(conditioner.encode(batch).tokens) == len(requests)

    def test_a_wrong_request_is_refused_in_words(self, task: Task) -> None:
        with pytest.raises(NanoGenError):
            task.make_batch([self.wrong_request])

    def test_questions_are_as_many_as_asked(self, task: Task, conditioner: Conditioner) -> None:
        questions = task.eval_batch(5)
        assert len(conditioner.encode(questions).tokens) == 5
        assert same_batch(questions, task.eval_batch(5))

    def test_once_shows_every_example_once(self, task: Task) -> None:
        seen = [index for batch in task.iter_once(self.split, self.batch_size) for index in batch.indices.tolist()]
        assert sorted(seen) == list(range(len(seen)))

    def test_every_request_has_a_description(self, task: Task, requests: Requests) -> None:
        for batch in (task.make_batch(requests), self.batches(task, 1)[0]):
            words = task.captions(batch)
            assert len(words) == len(batch.indices)
            assert all(isinstance(word, str) and word for word in words)

    def test_metrics_come_by_name(self, task: Task) -> None:
        assert all(isinstance(name, str) for name in task.metrics())
