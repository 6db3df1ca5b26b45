"""Each image is compared with the original of its name: one that is missing shifts nothing."""

import logging
from math import log10

import numpy as np
import pytest
from PIL import Image

from nanogen_core.errors import DataError
from nanogen_data import notes
from nanogen_eval.evaluate import Evaluation
from nanogen_eval.options import BootstrapConfig
from nanogen_eval.sources.archive import Archive
from nanogen_eval.sources.folder import Folder
from nanogen_eval.targets import Images
from nanogen_fidelity.config import PsnrConfig
from nanogen_fidelity.metrics.paired import Psnr

COUNT = 64


@pytest.fixture(autouse=True)
def _unsaid():
    notes._logged.clear()


def level(number):
    return 3 * number


def off(number):
    """By how many levels an image differs from its original."""
    return 1 + number % 5


def write(folder, numbers, shade, suffix="png", name="{:05d}"):
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        picture = Image.new("RGB", (8, 8), (shade(number),) * 3)
        picture.save(folder / f"{name.format(number)}.{suffix}", **({"lossless": True} if suffix == "webp" else {}))


def expected(numbers):
    """By the equation: 20 log10(255 / difference)."""
    return sum(20 * log10(255 / off(number)) for number in numbers) / len(numbers)


def scored(source, reference):
    metric = Psnr(PsnrConfig(reference=str(reference)))
    (score,) = Evaluation(metrics={"psnr": metric}, bootstrap=BootstrapConfig(draws=0)).scores(Images(source))
    return score.value


@pytest.fixture
def originals(tmp_path):
    write(tmp_path / "originals", range(COUNT), level)
    return tmp_path / "originals"


@pytest.mark.parametrize("missing", [0, 20, 63])
@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_one_missing_image_shifts_no_pair(tmp_path, originals, missing, suffix, caplog):
    numbers = [number for number in range(COUNT) if number != missing]
    write(tmp_path / "made", numbers, lambda n: level(n) + off(n), suffix)
    with caplog.at_level(logging.WARNING):
        assert scored(Folder(tmp_path / "made"), originals) == pytest.approx(expected(numbers))
    assert f"psnr: 1 of 64 reference images are not used, such as '{missing:05d}.png'" in caplog.text


def test_a_part_of_the_images_has_the_originals_of_their_names(tmp_path, originals):
    write(tmp_path / "made", range(COUNT), lambda n: level(n) + off(n))
    assert scored(Folder(tmp_path / "made", count=7), originals) == pytest.approx(expected(range(7)))


def test_names_in_folders_count_whole(tmp_path):
    for part in ("a", "b"):
        write(tmp_path / "originals" / part, range(4), lambda n, p=part: level(n) + 100 * (p == "b"))
    write(tmp_path / "made" / "b", range(4), lambda n: level(n) + 100 + off(n))
    assert scored(Folder(tmp_path / "made"), tmp_path / "originals") == pytest.approx(expected(range(4)))


def test_suffixes_count_where_names_differ_in_them_alone(tmp_path):
    write(tmp_path / "originals", [1], level)
    write(tmp_path / "originals", [1], lambda n: 200, "webp")
    write(tmp_path / "made", [1], lambda n: level(n) + off(n))
    write(tmp_path / "made", [1], lambda n: 200 + off(n), "webp")
    assert scored(Folder(tmp_path / "made"), tmp_path / "originals") == pytest.approx(expected([1]))


@pytest.mark.parametrize("extra", [[64], [64, 65]])
def test_an_image_without_an_original_is_refused(tmp_path, originals, extra):
    write(tmp_path / "made", [*range(60), *extra], level)
    sentence = rf"reference image of the same name. Images without one: {len(extra)} of \d+, such as '00064\.png'"
    with pytest.raises(DataError, match=sentence):
        scored(Folder(tmp_path / "made"), originals)


def test_other_names_are_refused(tmp_path, originals):
    write(tmp_path / "made", range(COUNT), level, name="sample-{}")
    with pytest.raises(DataError, match=r"Images without one: 64 of 64, such as 'sample-0\.png'"):
        scored(Folder(tmp_path / "made"), originals)


@pytest.fixture
def archives(tmp_path):
    def write_npz(name, numbers, shade):
        pixels = np.stack([np.full((8, 8, 3), shade(number), np.uint8) for number in numbers])
        np.savez(tmp_path / name, pixels)
        return tmp_path / name

    return write_npz


def test_images_without_names_are_paired_in_order_where_they_are_as_many(archives, originals):
    made = archives("made.npz", range(COUNT), lambda n: level(n) + off(n))
    reference = archives("originals.npz", range(COUNT), level)
    for place in (originals, reference):
        assert scored(Archive(made), place) == pytest.approx(expected(range(COUNT)))
        assert scored(Archive(made, count=9), place) == pytest.approx(expected(range(9)))  # the first nine of as many


@pytest.mark.parametrize("there", [63, 65])
def test_another_number_of_images_without_names_is_refused(archives, originals, there):
    made = archives("made.npz", range(there), level)
    with pytest.raises(DataError, match=f"psnr compares {there} images with 64 reference images in order"):
        scored(Archive(made), originals)
