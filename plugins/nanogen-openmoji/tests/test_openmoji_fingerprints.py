"""The settings of the metrics hold all that their scores depend on: the held-out drawings, the known captions."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from nanogen_core.tensors import Batch
from nanogen_eval.score import fingerprint
from nanogen_files import hashing
from nanogen_imagenet.config import FolderConfig
from nanogen_imagenet.folder import ImageNetFolder
from nanogen_openmoji import dataset, emojis
from nanogen_openmoji.dataset import OpenMoji
from nanogen_openmoji.distance import Frechet
from nanogen_openmoji.metrics import Scenes
from nanogen_openmoji.settings import OpenMojiConfig


class Task:
    """What the distance asks of a task."""

    def __init__(self, view):
        self._view = view

    def eval_batch(self, count):
        labels = torch.zeros(count, dtype=torch.int64) if self._view == "labels" else None
        return Batch(torch.arange(count), labels=labels, captions=["a cat"] * count if labels is None else None)


def frechet(view, **options):
    metric = Frechet(task=Task(view), dataset=OpenMoji(OpenMojiConfig(**{"train": 9, "val": 9, **options})))
    return fingerprint(metric.settings)


def scenes(**options):
    return fingerprint(Scenes(dataset=OpenMoji(OpenMojiConfig(**{"train": 9, "val": 9, **options}))).settings)


@pytest.mark.parametrize("options", [{"val": 10}, {"seed": 1}])
def test_other_held_out_drawings_are_another_reference(options):
    assert frechet("labels") == frechet("labels", train=10) != frechet("labels", **options)
    assert frechet("captions", **options) != frechet("captions") != frechet("labels")


@pytest.mark.parametrize("options", [{"objects": ("cat", "dog")}, {"hold_out": 3}])
def test_other_scenes_are_another_reference(options):
    """Labelled drawings do not depend on them."""
    assert frechet("captions") != frechet("captions", **options)
    assert frechet("labels") == frechet("labels", **options)


def test_another_font_is_another_reference(tmp_path, monkeypatch):
    before = frechet("labels")
    font = bytearray(emojis.font_file().read_bytes())
    font[-1] ^= 1
    (tmp_path / "font.ttf").write_bytes(font)
    monkeypatch.setattr(dataset, "font_file", lambda: tmp_path / "font.ttf")
    assert frechet("labels") != before


def folder(root: Path, shade: int) -> str:
    for split in ("train", "val"):
        for name in ("a", "b"):
            (root / split / name).mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (16, 16), (shade, 9, 9)).save(root / split / name / "0.bmp")
    return fingerprint(Frechet(task=Task("labels"), dataset=ImageNetFolder(FolderConfig(root=str(root)))).settings)


def test_images_from_elsewhere_are_told_apart_by_their_pixels(tmp_path):
    first = folder(tmp_path / "one", 10)
    assert folder(tmp_path / "two", 10) == first
    assert folder(tmp_path / "one", 11) != first  # files of the same names and sizes


@pytest.mark.parametrize("options", [{"objects": ("cat", "dog", "car")}, {"hold_out": 3}])
def test_scenes_say_which_captions_they_know_and_which_are_unseen(options):
    assert scenes() == scenes(seed=1, val=4) != scenes(**options)
    one = {"hold_out": 3, "objects": ("cat", "dog", "car")}
    other = {"hold_out": 3, "objects": ("cat", "dog", "tree")}  # as many captions, and others
    assert scenes(**one) != scenes(**other)


def test_the_font_that_is_hashed_is_the_one_that_draws():
    assert hashing.file_hash(emojis.font_file())
    assert Path(emojis._font(16).path) == emojis.font_file()
