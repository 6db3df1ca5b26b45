"""Several roots with weights: shares, order, resume, classes, latents; and streams, which are refused."""

from __future__ import annotations

import math
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch.utils.data import IterableDataset

from nanogen_core.config import resolve
from nanogen_core.errors import ConfigError, DataError
from nanogen_data.corrupt import CorruptSampleError
from nanogen_data.loader import EpochOrder, Example, MixedOrder, iter_once, loader
from nanogen_data.mixture import Mixing, Mixture
from nanogen_data.roots import Root
from nanogen_data.testing.fakes.dataset import TinyDataset
from nanogen_imagenet import FolderConfig, ImageNet, ImageNetConfig, ImageNetFolder
from nanogen_t2i import T2I


class Numbers:
    """Images that hold their number; those in `bad` are corrupt."""

    def __init__(self, numbers: range, bad: frozenset[int] = frozenset()):
        self.numbers, self.bad = numbers, bad
        self.max_corrupt = 1.0

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> Example:
        if index in self.bad:
            raise CorruptSampleError("odd", f"Number {index} is bad.")
        return Example(torch.full((3, 4, 4), float(self.numbers[index])))

    def caption(self, index: int) -> str:
        return f"number {self.numbers[index]}"


def mixture(*parts: tuple[int, float], bad: frozenset[int] = frozenset()) -> Mixture:
    """Roots of the given sizes and weights. The examples of root r hold 1000 r, 1000 r + 1, ..."""
    examples = [Numbers(range(1000 * r, 1000 * r + size), bad) for r, (size, _) in enumerate(parts)]
    return Mixture(examples, [Root(path=f"root{r}", weight=weight) for r, (_, weight) in enumerate(parts)])


def never(image: Image.Image, number: int) -> Any:
    raise AssertionError


def drawn(examples: Mixture, batch_size: int, count: int, **options: Any) -> list[int]:
    batches = islice(loader(examples, batch_size, transform=never, **options), count)
    return [int(value) for batch in batches for value in batch.images[:, 0, 0, 0]]  # type: ignore[index]


PARTS = ((300, 1.0), (50, 2.0), (450, 1.0))  # 800 draws an epoch: 200, 400, 200


def test_an_epoch_has_the_share_of_the_weights() -> None:
    counts = Counter(value // 1000 for value in drawn(mixture(*PARTS), 80, 10))
    assert counts == {0: 200, 1: 400, 2: 200}


def test_a_part_of_an_epoch_has_the_expected_share() -> None:
    """The number of draws of a root within a part of an epoch is within 5 standard deviations of a binomial."""
    first = sum(1 for row in rows(Mixing(("a", "b"), (3000, 2000), (0.3, 0.7)), 0, 1000) if row < 3000)
    assert abs(first - 300) < 5 * math.sqrt(1000 * 0.3 * 0.7)


def rows(mixing: Mixing, start: int, stop: int, seed: int = 0) -> list[int]:
    order = MixedOrder(mixing, seed)
    return [order[position].row for position in range(start, stop)]


def test_the_examples_of_a_root_are_drawn_equally_often() -> None:
    mixing = Mixing(("a", "b"), (7, 5), (1, 2))  # 4 and 8 draws an epoch
    for epochs in (1, 3, 10, 35):
        counts = Counter(rows(mixing, 0, 12 * epochs))
        for root, draws in ((range(7), 4 * epochs), (range(7, 12), 8 * epochs)):
            assert {counts[row] for row in root} <= {draws // len(root), -(-draws // len(root))}


def test_any_position_can_be_read_alone() -> None:
    mixing = Mixing(("a", "b", "c"), (7, 5, 11), (1, 2, 0.5))
    whole = rows(mixing, 0, 300, seed=2)
    order = MixedOrder(mixing, 2)
    assert [order[position].row for position in range(299, -1, -13)] == whole[299::-13]
    assert rows(mixing, 0, 300, seed=3) != whole


def test_a_resume_and_workers_change_nothing() -> None:
    whole = drawn(mixture(*PARTS), 60, 40)
    assert drawn(mixture(*PARTS), 60, 15, start=25) == whole[25 * 60 :]
    assert drawn(mixture(*PARTS), 60, 15, start=25, num_workers=2) == whole[25 * 60 :]
    assert drawn(mixture(*PARTS), 30, 80) == whole


def test_each_draw_of_an_example_has_its_own_random_number() -> None:
    order = MixedOrder(Mixing(("a", "b"), (20, 2), (1, 1)), 0)  # b: 11 draws an epoch of 2 examples
    numbers = [order[position] for position in range(88)]
    assert len(set(numbers)) == 88
    plain = EpochOrder(22, 0)
    assert {plain[p].number for p in range(22)} >= {ref.number for ref in numbers[:22] if ref.row < 20}


def test_a_corrupt_sample_is_replaced_by_one_of_its_root() -> None:
    examples = mixture((10, 1), (10, 1), bad=frozenset({9}))
    values = Counter(drawn(examples, 20, 5))
    assert 9 not in values
    assert 1009 not in values
    assert sum(count for value, count in values.items() if value < 1000) == 50
    assert values[0] == values[1000] == 10  # for itself and for the last one of its root


def test_once_gives_each_example_once_whatever_the_weights() -> None:
    batches = iter_once(mixture((5, 1), (3, 100)), 4, transform=never)
    assert [int(value) for batch in batches for value in batch.images[:, 0, 0, 0]] == [0, 1, 2, 3, 4, 1000, 1001, 1002]  # type: ignore[index]
    assert mixture((5, 1), (3, 1)).caption(6) == "number 1001"  # type: ignore[attr-defined]


def test_a_root_that_is_never_drawn_or_empty_is_refused() -> None:
    with pytest.raises(DataError, match=r"The weight of the root root1 gives it 0\.0\d+ draws in an epoch of 20 draws"):
        loader(mixture((10, 1), (10, 0.001)), 4, transform=never)
    with pytest.raises(DataError, match="The root root1 has no examples"):
        mixture((10, 1), (0, 1))


@pytest.mark.parametrize(
    ("roots", "sentence"),
    [
        ([{"path": "a", "weight": 0}], r"roots\[.\]\.weight: must be above 0"),
        ([{"path": "a", "weight": -1.0}], r"roots\[.\]\.weight: must be above 0"),
        ([{"path": "a", "weight": math.nan}], "roots.0..weight: must be a finite number"),
        ([{"path": "a", "weight": math.inf}], "roots.0..weight: must be a finite number"),
        ([{"path": "a", "weight": "much"}], "expected a number, got 'much'"),
        ([{"path": "a"}, {"path": "b", "weight": 0}], r"roots\[.\]\.weight: must be above 0"),
        ([{"path": "a"}, {"path": "./a/"}], "'./a/' is listed twice"),
        ([{"path": "a", "wieght": 1}], r"dataset\.roots\[0\]\.wieght: unknown key"),
        (["a"], "expected a mapping, got 'a'"),
        ([{"weight": 1}], r"roots\[0\]\.path is missing"),
        ({"a": 1}, "expected a list"),
    ],
)
@pytest.mark.parametrize("name", ["webdataset", "arrow", "imagenet-folder", "imagenet-parquet"])
def test_wrong_roots_are_refused(name: str, roots: Any, sentence: str) -> None:
    task = "imagenet" if name.startswith("imagenet") else "t2i"
    raw = {"task": task, "method": "vae", "dataset": {"name": name, "roots": roots}}
    with pytest.raises(ConfigError, match=sentence):
        resolve(raw)


def test_a_root_beside_roots_is_refused() -> None:
    raw = {"task": "t2i", "method": "vae", "dataset": {"name": "webdataset", "root": "a", "roots": [{"path": "b"}]}}
    with pytest.raises(ConfigError, match="set either root or roots, not both"):
        resolve(raw)


def folder(root: Path, classes: str, shade: int) -> Path:
    for split in ("train", "val"):
        for name in classes:
            (root / split / name).mkdir(parents=True)
            for number in range(2):
                Image.new("RGB", (16, 16), (shade, shade, shade)).save(root / split / name / f"{number}.png")
    return root


def test_labels_need_the_same_classes_in_all_roots(tmp_path: Path) -> None:
    first, second = folder(tmp_path / "1", "ab", 10), folder(tmp_path / "2", "ab", 20)
    other = folder(tmp_path / "3", "abc", 30)
    link = tmp_path / "link"
    link.symlink_to(first)

    def opened(*roots: Path) -> Any:
        return ImageNetFolder(FolderConfig(roots=tuple(Root(path=str(root)) for root in roots)))

    data = opened(first, second)
    task = ImageNet(ImageNetConfig(), image_size=16, dataset=data, classes=data.classes)
    (batch,) = task.iter_once("val", 8)
    assert batch.labels.tolist() == [0, 0, 1, 1] * 2  # type: ignore[union-attr]
    assert next(task.batches("train", 8)).labels.sort().values.tolist() == [0] * 4 + [1] * 4  # type: ignore[union-attr]
    with pytest.raises(DataError, match=r"The classes of the root .*3 differ from those of .*1 \(c\)"):
        opened(first, other).open("train", 16, "labels")
    with pytest.raises(DataError, match="are the same data"):
        opened(first, link).open("train", 16, "labels")


class Stream(IterableDataset[Any]):
    """A dataset as torch and Hugging Face stream it."""

    def __iter__(self) -> Any:
        yield {"image": None}


class Bare:
    def __iter__(self) -> Any:
        yield {"image": None}


@pytest.mark.parametrize("stream", [Stream(), Bare(), iter([1])])
def test_a_stream_is_refused_with_the_way(stream: Any) -> None:
    class Streamed(TinyDataset):
        def open(self, split: str, image_size: int, view: str) -> Any:
            return stream

    labels = ImageNet(ImageNetConfig(), image_size=16, dataset=Streamed(), classes=("a",))
    texts = T2I(image_size=16, dataset=Streamed())
    for read in (
        lambda: loader(stream, 2, transform=never),
        lambda: iter_once(stream, 2, transform=never),
        lambda: labels.batches("train", 2),
        lambda: texts.batches("train", 2),
        lambda: texts.eval_batch(2),
    ):
        with pytest.raises(DataError, match=r"The data are a stream .*resumes exactly.*`nanogen data prepare DATA"):
            read()
