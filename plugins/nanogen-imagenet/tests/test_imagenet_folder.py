"""The class-folder layout, written to disk as ImageNet has it."""

from __future__ import annotations

import shutil
from itertools import islice
from pathlib import Path

import pytest
import torch
from PIL import Image

from nanogen_core.errors import DataError
from nanogen_imagenet.config import FolderConfig, ImageNetConfig
from nanogen_imagenet.folder import ImageNetFolder
from nanogen_imagenet.task import ImageNet

COLOURS = {"n01440764": (250, 0, 0), "n01443537": (0, 250, 0), "n02007558": (0, 0, 250)}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for split, count in [("train", 3), ("val", 2)]:
        for wnid, colour in COLOURS.items():
            folder = tmp_path / split / wnid
            folder.mkdir(parents=True)
            for number in range(count):
                Image.new("RGB", (40 + number, 30), colour).save(folder / f"{wnid}_{number}.JPEG")
    return tmp_path


def task(root: Path, **options: bool) -> ImageNet:
    dataset = ImageNetFolder(FolderConfig(root=str(root)))
    return ImageNet(ImageNetConfig(**options), image_size=16, dataset=dataset, classes=dataset.classes)


def test_labels_are_the_places_of_the_folders(root: Path) -> None:
    examples = ImageNetFolder(FolderConfig(root=str(root))).open("train", 16, "labels")
    assert [examples[index].label for index in range(len(examples))] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert examples[5].image.size == (42, 30)  # type: ignore[union-attr]


def test_names_come_from_the_synset_mapping(root: Path) -> None:
    names = ["tench, Tinca tinca", "goldfish", "flamingo"]
    lines = [f"{wnid} {name}" for wnid, name in zip(COLOURS, names, strict=True)] + ["n09999999 another"]
    (root / "LOC_synset_mapping.txt").write_text("\n".join(lines))
    assert ImageNetFolder(FolderConfig(root=str(root))).classes == tuple(names)


def test_a_mapping_that_lacks_a_folder_is_refused(root: Path) -> None:
    (root / "classes.txt").write_text("n01440764 tench\n")
    with pytest.raises(DataError, match=r"classes\.txt has no name for the class folder 'n01443537' \(2 missing\)"):
        _ = ImageNetFolder(FolderConfig(root=str(root))).classes


def test_batches_show_the_colour_of_their_label(root: Path) -> None:
    for batch in islice(task(root).batches("train", 4, seed=1), 5):
        assert batch.images is not None
        assert batch.labels is not None
        assert batch.images.shape == (4, 3, 16, 16)
        assert torch.equal(batch.images.mean(dim=(2, 3)).argmax(1), batch.labels)


@pytest.mark.parametrize("options", [{}, {"flip": False}, {"flip": True}])
def test_only_training_images_are_flipped_and_only_where_asked(root: Path, options: dict[str, bool]) -> None:
    split = Image.new("L", (30, 30))
    split.paste(255, (15, 0, 30, 30))
    for folder in ("train", "val"):
        for path in (root / folder).rglob("*.JPEG"):
            split.save(path)
    right = {
        split: torch.cat([b.images[:, 0, 8, -1] for b in islice(task(root, **options).batches(split, 9), 4)]) > 0
        for split in ("train", "val")
    }  # type: ignore[index]
    assert right["val"].all()
    assert right["train"].any()
    assert bool(right["train"].all()) is not options.get("flip", False)


def test_once_gives_the_validation_set_in_order(root: Path) -> None:
    batches = list(task(root).iter_once("val", 4))
    assert torch.cat([batch.indices for batch in batches]).tolist() == list(range(6))
    assert torch.cat([batch.labels for batch in batches]).tolist() == [0, 0, 1, 1, 2, 2]  # type: ignore[misc]


def test_questions_are_balanced_in_every_prefix(root: Path) -> None:
    labels = task(root).eval_batch(7, seed=2).labels
    assert labels is not None
    assert sorted(labels[:3].tolist()) == sorted(labels[3:6].tolist()) == [0, 1, 2]
    assert torch.equal(labels[:3], labels[3:6])


def test_a_request_becomes_labels(root: Path) -> None:
    batch = task(root).make_batch(["n01443537", 2])
    assert batch.labels is not None
    assert batch.labels.tolist() == [1, 2]
    assert batch.indices.tolist() == [0, 1]


def test_a_flat_validation_folder_is_explained(root: Path) -> None:
    for path in list((root / "val").rglob("*.JPEG")):
        path.rename(root / "val" / path.name)
    for wnid in COLOURS:
        (root / "val" / wnid).rmdir()
    with pytest.raises(DataError, match="has 6 images, but no class folder with images. Move each image into"):
        next(task(root).batches("val", 2))


def test_an_empty_split_is_explained(root: Path) -> None:
    shutil.rmtree(root / "val")
    (root / "val").mkdir()
    with pytest.raises(DataError, match=r"val has no images and no class folders\. Put the images of each class into"):
        next(task(root).batches("val", 2))
    (root / "val" / "n01440764").mkdir()
    with pytest.raises(DataError, match="has 1 folder, but no image in any folder"):
        next(task(root).batches("val", 2))
    (root / "val" / "one.JPEG").write_bytes(b"")
    with pytest.raises(DataError, match="val has 1 image, but no class folder with images. Move each image into the"):
        next(task(root).batches("val", 2))


def test_a_class_of_the_validation_set_alone_is_refused(root: Path) -> None:
    (root / "val" / "n01443537").rename(root / "val" / "n01443538")
    with pytest.raises(DataError, match=r"'n01443538' that `train` lacks\. Did you mean 'n01443537'\?"):
        ImageNetFolder(FolderConfig(root=str(root))).open("val", 16, "labels")


def test_a_missing_split_names_what_is_there(root: Path) -> None:
    with pytest.raises(DataError, match=r"no folder 'test' in .*It has: train, val"):
        ImageNetFolder(FolderConfig(root=str(root))).open("test", 16, "labels")


def test_a_damaged_file_is_named(root: Path) -> None:
    (root / "train" / "n01440764" / "n01440764_0.JPEG").write_bytes(b"\xff\xd8 not a picture")
    examples = ImageNetFolder(FolderConfig(root=str(root))).open("train", 16, "labels")
    with pytest.raises(DataError, match=r"n01440764_0\.JPEG cannot be read"):
        examples[0]


def test_the_dataset_is_made_without_its_folder() -> None:
    dataset = ImageNetFolder(FolderConfig(root="nowhere-at-all"))  # a loaded pipeline draws without its data
    with pytest.raises(DataError, match=r"The folder /\S*/nowhere-at-all, from `dataset.root`, does not exist"):
        _ = dataset.classes
