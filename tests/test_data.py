"""The order of the data is a number: keyed permutations, global batches, shares of processes, worker processes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from io import BytesIO
from itertools import islice

import pytest
import torch
from PIL import Image
from torch import Tensor

from nanogen_core.errors import DataError, TrainingError
from nanogen_core.tensors import Batch
from nanogen_data.loader import DataShard, EpochOrder, Example, data_folder, decode_image, iter_once, loader

SIZE = 4


class Numbers:
    """Ready images that hold their own index; counts what was read."""

    def __init__(self, length: int):
        self.length = length
        self.read: list[int] = []

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Example:
        self.read.append(index)
        return Example(torch.full((3, SIZE, SIZE), float(index)), label=index % 3, caption=f"number {index}")


class Pictures(Numbers):
    def __getitem__(self, index: int) -> Example:
        return Example(Image.new("RGB", (SIZE, SIZE)), label=0)


class Broken(Numbers):
    def __getitem__(self, index: int) -> Example:
        raise DataError("The image x.jpg cannot be read.")


def by_number(image: Image.Image, number: int) -> Tensor:
    return torch.full((3, SIZE, SIZE), float(number % 1000))


def first(batches: object, count: int) -> list[Batch]:
    return list(islice(batches, count))  # type: ignore[call-overload, no-any-return]


def indices(batches: Sequence[Batch]) -> list[int]:
    return [int(index) for batch in batches for index in batch.indices]


def test_every_epoch_is_a_permutation_and_batches_run_over_its_end() -> None:
    order = indices(first(loader(Numbers(10), 4, transform=by_number, seed=3), 5))
    assert sorted(order[:10]) == sorted(order[10:20]) == list(range(10))
    assert order[:10] != order[10:20]


def test_a_batch_may_be_larger_than_the_dataset() -> None:
    (batch,) = first(loader(Numbers(3), 8, transform=by_number), 1)
    assert sorted(indices([batch])[:6]) == [0, 0, 1, 1, 2, 2]


def test_the_order_is_keyed_by_the_seed_alone() -> None:
    one, again, other = (indices(first(loader(Numbers(50), 10, transform=by_number, seed=s), 5)) for s in (1, 1, 2))
    assert one == again != other


def test_start_resumes_there_and_reads_nothing_before_it() -> None:
    whole = indices(first(loader(Numbers(10), 4, transform=by_number), 6))
    examples = Numbers(10)
    assert indices(first(loader(examples, 4, transform=by_number, start=4), 2)) == whole[16:] == examples.read


@pytest.mark.parametrize("num_workers", [1, 2])
def test_worker_processes_change_nothing(num_workers: int) -> None:
    alone = first(loader(Pictures(7), 3, transform=by_number), 5)
    together = first(loader(Pictures(7), 3, transform=by_number, num_workers=num_workers), 5)
    assert indices(alone) == indices(together)
    assert all(torch.equal(a.images, b.images) for a, b in zip(alone, together, strict=True))  # type: ignore[arg-type]


def test_each_process_takes_a_contiguous_part_of_the_global_batch() -> None:
    whole = indices(first(loader(Numbers(10), 6, transform=by_number), 3))
    parts = [first(loader(Numbers(10), 6, transform=by_number, share=DataShard(rank, 2)), 3) for rank in range(2)]
    assert [i for pair in zip(*parts, strict=True) for i in indices(pair)] == whole


def test_the_share_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert DataShard.here().of(8) == range(2, 4)


@pytest.mark.parametrize("batch_size", [3, 5])
def test_a_batch_that_cannot_be_shared_equally_is_refused(batch_size: int) -> None:
    with pytest.raises(TrainingError, match="multiple of 4"):
        loader(Numbers(10), batch_size, transform=by_number, share=DataShard(0, 4))


def test_augmentation_depends_on_seed_epoch_and_index_alone() -> None:
    order = EpochOrder(5, seed=1)
    epochs = [{order[p].row: order[p].number for p in range(e * 5, e * 5 + 5)} for e in range(2)]
    assert all(epochs[0][index] != epochs[1][index] for index in range(5))
    (batch,) = first(loader(Pictures(5), 5, transform=by_number, seed=1), 1)
    assert batch.images is not None
    assert [float(i[0, 0, 0]) for i in batch.images] == [epochs[0][int(i)] % 1000 for i in batch.indices]


def test_ready_images_are_not_transformed_and_conditions_come_along() -> None:
    (batch,) = first(loader(Numbers(5), 5, transform=by_number), 1)
    assert batch.images is not None
    assert batch.labels is not None
    assert batch.images[:, 0, 0, 0].tolist() == batch.indices.tolist()
    assert batch.labels.tolist() == [index % 3 for index in batch.indices.tolist()]
    assert batch.captions == [f"number {index}" for index in batch.indices.tolist()]


def test_a_dataset_that_reads_many_at_once_is_asked_for_whole_batches() -> None:
    class Many(Numbers):
        def __getitems__(self, wanted: Sequence[int]) -> list[Example]:
            self.read.append(len(wanted))
            return [Example(torch.zeros(3, SIZE, SIZE)) for _ in wanted]

    examples = Many(10)
    first(loader(examples, 5, transform=by_number), 2)
    assert examples.read == [5, 5]


def test_once_gives_each_example_once_in_order_on_any_number_of_processes() -> None:
    assert indices(list(iter_once(Numbers(10), 4, transform=by_number))) == list(range(10))
    parts = [indices(list(iter_once(Numbers(10), 4, transform=by_number, share=DataShard(r, 3)))) for r in range(3)]
    assert parts == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


@pytest.mark.parametrize("num_workers", [0, 1])
def test_an_unreadable_example_is_one_sentence_from_a_worker_too(num_workers: int) -> None:
    with pytest.raises(DataError, match=r"^The image x.jpg cannot be read\.$"):
        first(loader(Broken(5), 2, transform=by_number, num_workers=num_workers), 1)


def test_an_empty_split_is_refused() -> None:
    with pytest.raises(DataError, match="no examples"):
        loader(Numbers(0), 2, transform=by_number)


def test_the_global_random_state_is_left_alone() -> None:
    before, python = torch.get_rng_state(), random.getstate()
    first(loader(Numbers(10), 4, transform=by_number), 3)
    assert torch.equal(torch.get_rng_state(), before)
    assert random.getstate() == python


def test_a_damaged_image_is_named() -> None:
    data = BytesIO()
    Image.new("L", (20, 20)).save(data, "PNG")
    assert decode_image(data.getvalue(), "a.png").mode == "RGB"
    with pytest.raises(DataError, match=r"a\.png"):
        decode_image(data.getvalue()[:45], "a.png")


def test_a_missing_data_folder_says_what_to_set(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NANOGEN_DATA", raising=False)
    with pytest.raises(DataError, match=r"`dataset\.root`.*NANOGEN_DATA"):
        data_folder(None, "imagenet")
    with pytest.raises(DataError, match=r"The folder .*, from `dataset\.root`, does not exist"):
        data_folder(f"{tmp_path}/nowhere", "imagenet")
    monkeypatch.setenv("NANOGEN_DATA", str(tmp_path))
    with pytest.raises(DataError, match="from the environment variable NANOGEN_DATA, does not exist"):
        data_folder(None, "imagenet")
