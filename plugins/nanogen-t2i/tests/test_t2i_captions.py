"""Several captions of an image with probabilities: files of a sample, fields of its JSON, lines of a text."""

from __future__ import annotations

import json
import logging
import math
import pickle
import tarfile
from collections import Counter
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from nanogen_core.config import resolve
from nanogen_core.errors import ConfigError, DataError
from nanogen_data import notes
from nanogen_data.captions import WeightedCaptions, choice
from nanogen_data.corrupt import CorruptSampleError
from nanogen_data.loader import iter_once, loader
from nanogen_data.precomputed.members import pack, unpack
from nanogen_t2i.config import WebDatasetConfig
from nanogen_t2i.crop import ResizeAndCrop
from nanogen_t2i.dataset import TarExamples, WebDataset
from nanogen_t2i.task import T2I

CROP = ResizeAndCrop(16)


@pytest.fixture(autouse=True)
def _fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    notes._logged.clear()


def write(path: Path, samples: list[dict[str, bytes]]) -> Path:
    """Samples by the keys of their files; each has a picture too."""
    picture = BytesIO()
    Image.new("RGB", (16, 16)).save(picture, "PNG")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for number, sample in enumerate(samples):
            for key, data in {"png": picture.getvalue(), **sample}.items():
                member = tarfile.TarInfo(f"{number:04d}.{key}")
                member.size = len(data)
                tar.addfile(member, BytesIO(data))
    return path


def opened(path: Path, captions: dict[str, float], **options: Any) -> TarExamples:
    config = WebDatasetConfig(root=str(path), captions=captions, **options)
    return WebDataset(config).open("train", 16, "captions")  # type: ignore[return-value]


def texts(examples: Any, batches: int, **options: Any) -> list[str]:
    read = islice(loader(examples, 50, transform=CROP, **options), batches)
    return [text for batch in read for text in batch.captions or ()]


META = json.dumps({"prompt": "a prompt", "meta": {"alt": "an alt", "list": ["one", "two"]}, "a.b": "dots"}).encode()


def test_each_key_is_drawn_with_its_probability(tmp_path: Path) -> None:
    path = write(tmp_path / "0.tar", [{"txt": b"a text", "json": META}] * 50)
    drawn = texts(opened(path, {"txt": 0.6, "json:prompt": 0.3, "json:meta.alt": 0.1}), 40)
    counts = Counter(drawn)
    for text, share in (("a text", 0.6), ("a prompt", 0.3), ("an alt", 0.1)):
        assert abs(counts[text] - 2000 * share) < 5 * math.sqrt(2000 * share * (1 - share))  # of a binomial
    assert sum(counts.values()) == 2000


def test_the_draws_of_an_example_change_with_the_epoch_and_resume_exactly(tmp_path: Path) -> None:
    path = write(tmp_path / "0.tar", [{"txt": b"1", "json": META} for _ in range(50)])
    captions = {"txt": 0.5, "json:prompt": 0.5}
    whole = texts(opened(path, captions), 8, seed=4)
    assert texts(opened(path, captions), 3, seed=4, start=5) == whole[250:]
    assert texts(opened(path, captions), 3, seed=4, start=5, num_workers=2) == whole[250:]
    assert len({tuple(whole[first : first + 50]) for first in range(0, 400, 50)}) == 8
    assert texts(opened(path, captions), 8, seed=5) != whole


def test_one_pass_uses_a_fixed_choice(tmp_path: Path) -> None:
    path = write(tmp_path / "val" / "0.tar", [{"txt": b"1", "json": META} for _ in range(30)])
    config = WebDatasetConfig(root=str(tmp_path), validation=str(path), captions={"txt": 0.5, "json:prompt": 0.5})
    task = T2I(image_size=16, dataset=WebDataset(config))
    first, again = ([text for b in task.iter_once("val", 7) for text in b.captions or ()] for _ in range(2))
    assert first == again
    assert {"1", "a prompt"} == set(first)
    assert Counter(task.eval_batch(30, seed=1).captions) == Counter(first)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("json:prompt", ("a prompt",)),
        ("json:meta.alt", ("an alt",)),
        ("json:a.b", ("dots",)),
        ("json:meta.list", ("one", "two")),
        ("json:meta.list#2", ("two",)),
        ("txt#1", ("first",)),
        ("txt#3", ("third",)),
    ],
)
def test_a_key_names_a_file_a_field_or_one_of_several(tmp_path: Path, key: str, expected: tuple[str, ...]) -> None:
    path = write(tmp_path / "0.tar", [{"txt": b"first\nsecond\nthird", "json": META}])
    found = opened(path, {key: 1.0})[0].caption
    assert isinstance(found, WeightedCaptions)
    assert tuple(found) == expected
    assert found.weights == (1 / len(expected),) * len(expected)


def test_the_captions_under_a_key_share_its_probability(tmp_path: Path) -> None:
    path = write(tmp_path / "0.tar", [{"txt": b"a text", "json": META}])
    found = opened(path, {"txt": 0.6, "json:meta.list": 0.4}).caption(0)
    assert isinstance(found, WeightedCaptions)
    assert dict(zip(found, found.weights, strict=True)) == pytest.approx({"a text": 0.6, "one": 0.2, "two": 0.2})


def test_missing_keys_are_counted_and_the_others_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    both, no_file, no_field = {"txt": b"x", "json": META}, {"json": META}, {"txt": b"x", "json": b'{"prompt": null}'}
    path = write(tmp_path / "0.tar", [both, no_file, no_field, no_file])
    examples = opened(path, {"txt": 0.7, "json:prompt": 0.2, "json:meta.alt": 0.1})
    found = examples[1].caption
    assert isinstance(found, WeightedCaptions)
    assert dict(zip(found, found.weights, strict=True)) == pytest.approx({"a prompt": 2 / 3, "an alt": 1 / 3})
    assert found.missing == ("txt",)
    with caplog.at_level(logging.WARNING):
        list(iter_once(examples, 4, transform=CROP))
    assert "The caption key 'txt' is missing in 2 of 4 examples read. Their other captions are used." in caplog.text
    assert "The caption key 'json:prompt' is missing in 1 of 3 examples read." in caplog.text


def test_a_sample_without_any_caption_is_corrupt(tmp_path: Path) -> None:
    path = write(tmp_path / "0.tar", [{"txt": b"x", "json": META}, {"json": b"{}"}, {"txt": b" ", "json": b"{}"}])
    examples = opened(path, {"txt": 0.5, "json:prompt": 0.5})
    for index in (1, 2):
        with pytest.raises(CorruptSampleError, match="has none of the captions txt, json:prompt") as error:
            examples[index]
        assert error.value.reason == "no caption"
    damaged = write(tmp_path / "1.tar", [{"txt": b"x", "json": b"{"}])
    with pytest.raises(CorruptSampleError, match="is not valid JSON"):
        opened(damaged, {"txt": 0.5, "json:prompt": 0.5})[0]


def test_a_key_that_no_sample_has_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "0.tar", [{"txt": b"x"}] * 3)
    sentence = r"No sample of .*0\.tar.* has a file with the key 'text', which `dataset\.captions` names"
    with pytest.raises(DataError, match=sentence):
        opened(path, {"txt": 0.5, "text": 0.5})


@pytest.mark.parametrize(
    ("captions", "sentence"),
    [
        ({"txt": 0.5, "alt": 0.4}, r"must sum to 1; those of txt, alt sum to 0\.9"),
        ({"txt": 0, "alt": 1.0}, "the probability of 'txt': must be above 0"),
        ({"txt": -0.5, "alt": 1.5}, "the probability of 'txt': must be above 0"),
        ({"txt": math.nan}, "must be a finite number"),
        ({"txt": "often"}, "expected a number"),
        ({"a/b": 1.0}, "'a/b' is neither a file's key"),
        ("txt", "expected a mapping"),
    ],
)
def test_wrong_probabilities_are_refused(captions: Any, sentence: str) -> None:
    raw = {"task": "t2i", "method": "vae", "dataset": {"name": "webdataset", "captions": captions}}
    with pytest.raises(ConfigError, match=sentence):
        resolve(raw)
    if isinstance(captions, dict) and "txt" in captions:
        with pytest.raises((ValueError, TypeError)):
            WebDatasetConfig(captions=captions)


def test_caption_beside_captions_is_refused() -> None:
    with pytest.raises(ValueError, match="set either caption or captions, not both"):
        WebDatasetConfig(caption="alt", captions={"txt": 1.0})


def test_weighted_captions_travel_between_processes_and_into_latents() -> None:
    captions = WeightedCaptions(["a", "b"], [0.25, 0.75], ["txt"])
    states = [torch.zeros(2, 3), torch.ones(1, 3)]
    for found in (
        pickle.loads(pickle.dumps(captions)),
        unpack(bytearray(pack(torch.zeros(1, 4, 2, 2), states, None, captions))).caption,
    ):
        assert (tuple(found), found.weights, found.missing) == (("a", "b"), (0.25, 0.75), ("txt",))
        assert [choice(found, number) for number in range(100)] == [choice(captions, number) for number in range(100)]
