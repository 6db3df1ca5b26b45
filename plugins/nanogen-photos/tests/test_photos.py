"""Scenes on stamps that the tests draw: what they show, that they are deterministic, and errors for missing files."""

from collections import Counter
from itertools import combinations

import pytest
import torch
from attrs import evolve
from photos_pictures import CLASSES, HUES, write_pictures

from nanogen_core.errors import ConfigError, DataError
from nanogen_core.testing import PluginContract
from nanogen_files.structure import structure
from nanogen_photos.config import BACKGROUNDS, STAMPS, PhotosConfig, stamp_table
from nanogen_photos.dataset import Photos
from nanogen_photos.pictures import find_pictures
from nanogen_photos.prompts import all_lines, some_lines
from nanogen_photos.scenes import boxes, compose, render
from nanogen_textscore.geneval.boxes import relations
from nanogen_textscore.geneval.metadata import format_error
from nanogen_textscore.geneval.official import CLASSES as COCO
from nanogen_textscore.geneval.official import official_metadata


class TestPlugin(PluginContract):
    @pytest.fixture
    def manifest(self):
        return "nanogen_photos.plugin"


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("pictures"))


def hue_pixels(image, name):
    """The pixels [n, 2] (y, x) whose colour is that of a class, in an image [3, S, S]."""
    hue = torch.tensor(HUES[name]) / 127.5 - 1
    return ((image - hue[:, None, None]).abs().amax(0) < 0.4).nonzero()


def test_every_image_is_a_function_of_seed_split_and_index(config):
    for view in ("labels", "captions"):
        first, second = (Photos(config).open("train", 48, view) for _ in range(2))
        second[7]  # the order of access does not matter
        assert torch.equal(first[3].image, second[3].image)
        assert first[3].image.shape == (3, 48, 48)
        assert first[3].image.dtype == torch.float32
        assert -1 <= float(first[3].image.min()) < float(first[3].image.max()) <= 1
        others = (Photos(config).open("val", 48, view), Photos(evolve(config, seed=1)).open("train", 48, view))
        assert not any(torch.equal(first[3].image, other[3].image) for other in others)


def test_an_image_shows_the_class_of_its_label_and_no_other(config):
    examples = Photos(config).open("train", 64, "labels")
    for index in range(12):
        example = examples[index]
        assert example.label == index % 3
        shown = {name for name in CLASSES if len(hue_pixels(example.image, name)) > 20}
        assert shown == {CLASSES[example.label]}


def test_scenes_show_their_captions(config):
    """The drawn boxes match the count and, by GenEval's rule for boxes, the position in the line."""
    data = Photos(config)
    for lines in all_lines(data.classes).values():
        for number, line in enumerate(lines):
            scene = compose(line, f"test {number}", data.pictures)
            image = render(scene, 64, data.pictures)
            counts = Counter(one.name for one in scene.cutouts)
            assert counts == {item["class"]: item["count"] for item in line["include"]}
            assert {name for name in CLASSES if len(hue_pixels(image, name)) > 8} == set(counts)
            if line["tag"] == "position":
                placed = dict(zip((one.name for one in scene.cutouts), boxes(scene, data.pictures), strict=True))
                target, item = line["include"]
                assert item["position"][0] in relations(placed[item["class"]], placed[target["class"]], margin=0.1)


def test_cut_outs_lie_in_the_image_and_do_not_overlap(config):
    data = Photos(config)
    lines = [line for family in all_lines(data.classes).values() for line in family]
    for number in range(400):
        placed = boxes(compose(lines[number % len(lines)], f"overlap {number}", data.pictures), data.pictures)
        assert all(min(box) >= -1e-9 and max(box) <= 1 + 1e-9 for box in placed)
        for a, b in combinations(placed, 2):
            assert a[2] < b[0] or b[2] < a[0] or a[3] < b[1] or b[3] < a[1]


def test_pixels_lie_in_the_boxes(config):
    data = Photos(config)
    for number, name in enumerate(CLASSES):
        scene = data.open("val", 64, "labels").scene(number)
        found = hue_pixels(render(scene, 96, data.pictures), name)
        left, top, right, bottom = (96 * side for side in boxes(scene, data.pictures)[0])
        assert found[:, 1].min() >= left - 1
        assert found[:, 1].max() <= right + 1
        assert found[:, 0].min() >= top - 1
        assert found[:, 0].max() <= bottom + 1
        assert abs(float(found[:, 1].float().mean()) - (left + right) / 2) < 2  # the ellipse fills its box


def test_lines_have_the_official_format_and_wording():
    """Each official prompt about these classes, without colours, is one of ours, with an equal line."""
    classes = tuple(stamp_table())
    assert len(classes) == 22
    assert set(classes) <= set(COCO)
    ours = {line["prompt"]: line for lines in all_lines(classes).values() for line in lines}
    official = [
        line
        for line in official_metadata()
        if {item["class"] for item in line["include"]} <= set(classes) and line["tag"] in all_lines(classes)
    ]
    assert len(official) > 30
    assert all(ours[line["prompt"]] == line for line in official)
    assert not any(format_error(dict(line)) for line in ours.values())


def test_some_lines_are_a_fixed_choice_of_each_tag():
    lines = some_lines(CLASSES, 5)
    assert Counter(line["tag"] for line in lines) == {
        "single_object": 3, "two_object": 5, "counting": 5, "position": 5,
    }  # fmt: skip
    assert lines == some_lines(CLASSES, 5)
    assert len({line["prompt"] for line in lines}) == len(lines)


def test_the_identity_covers_options_and_files(config, tmp_path):
    def identity(options, view="labels", split="train"):
        return Photos(options).open(split, 64, view).identity()

    copy = write_pictures(tmp_path)
    assert identity(copy) == identity(config)  # the folder does not matter
    changed = [
        identity(evolve(config, seed=1)), identity(evolve(config, train=31)), identity(config, view="captions"),
        identity(config, split="val"), identity(evolve(config, classes=("dog", "apple", "bird"))),
    ]  # fmt: skip
    file = next((tmp_path / "behind").glob("*.jpg"))
    file.write_bytes(next(f for f in (tmp_path / "behind").glob("*.jpg") if f != file).read_bytes())
    assert len({identity(config), identity(copy), *changed}) == 7


def test_missing_files_name_the_command(config, tmp_path):
    install = "apt-get install --no-install-recommends tuxpaint-stamps-default mate-backgrounds"
    with pytest.raises(DataError, match=install):
        find_pictures(evolve(config, stamps=str(tmp_path)))
    with pytest.raises(DataError, match=install):
        find_pictures(evolve(config, backgrounds=str(tmp_path)))


def test_damaged_stamps_are_named(tmp_path):
    config = write_pictures(tmp_path)
    file = tmp_path / "stamps" / f"{stamp_table()['apple'][0]}.png"
    file.write_bytes(file.read_bytes()[:60])
    data = Photos(config)
    scenes = [data.open("train", 32, "labels") for _ in range(1)]
    with pytest.raises(DataError, match=str(file)):
        [scenes[0][index] for index in range(0, 30, 3)]


@pytest.mark.parametrize(
    ("options", "said"), [({"classes": ["aple", "dog"]}, "apple"), ({"classes": ["dog"]}, "two or more")]
)
def test_wrong_classes_are_refused(options, said):
    with pytest.raises(ConfigError, match=said):
        structure(options, PhotosConfig, "dataset")


def test_the_installed_photographs_make_scenes_of_every_class():
    try:
        data = Photos(PhotosConfig())
    except DataError as error:
        pytest.skip(f"the photographs are not installed: {error}")
    assert (data.config.stamps, data.config.backgrounds) == (STAMPS, BACKGROUNDS)
    examples = data.open("train", 64, "labels")
    images = torch.stack([examples[index].image for index in range(22)])
    assert len({image.numpy().tobytes() for image in images}) == 22
    assert float(images.std()) > 0.3  # photographs, not blank images
    assert set(data.licences) == {"tuxpaint-stamps-default", "mate-backgrounds"}
