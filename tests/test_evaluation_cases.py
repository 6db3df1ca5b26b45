"""The runner of evaluation cases: words to arrays, references, tolerances, who answers; and the published cases."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from nanogen_core.errors import DataError
from tests.evaluation_cases import Runners, array, installed, pictures
from tests.evaluation_cases.__main__ import by_id, main, mistake
from tests.evaluation_cases.compare import difference
from tests.evaluation_cases.files import Case, read_cases, resolved

SHIPPED = Path(__file__).parent / "data" / "evaluation_cases.json"
CASES = read_cases(Path(os.environ.get("NANOGEN_EVALUATION_CASES", SHIPPED)))
KNOWN = {**by_id(read_cases(SHIPPED)), **by_id(CASES)}


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_a_published_case_holds(case):
    assert mistake(case, installed(), KNOWN) is None


# -- words -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "shape", "pixel"),
    [
        ("zeros uint8 1x4x4x3", (1, 4, 4, 3), 0),
        ("all 10", (1, 16, 16, 3), 10),
        ("uint8 2x8x8x3 all 200", (2, 8, 8, 3), 200),
        ("4x2 (WxH) all 9", (1, 2, 4, 3), 9),
        ("6x8 all 7", (1, 6, 8, 3), 7),
        ("all 255s", (1, 16, 16, 3), 255),
        ("ones", (1, 16, 16, 3), 1),
    ],
)
def test_constant_pictures(words, shape, pixel):
    made = pictures(words)
    assert (made.shape, made.dtype) == (shape, np.uint8)
    assert np.all(made == pixel)


def test_pictures_one_by_one():
    made = pictures("image0 all 10, image1 all 200", shape=(5, 8, 8, 3))
    assert made.shape == (2, 8, 8, 3)
    assert made[:, 0, 0, 0].tolist() == [10, 200]


def test_formulas_follow_rows_and_columns_and_wrap_like_bytes():
    made = pictures("uint8 4x5x3: channel0=(100*i)%256, channel1=13*j, channel2=100*i (i row, j col)")
    assert made.shape == (1, 4, 5, 3)
    assert made[0, :, 0, 0].tolist() == [0, 100, 200, 44]
    assert made[0, 2, :, 1].tolist() == [0, 13, 26, 39, 52]
    assert made[0, :, 3, 2].tolist() == [0, 100, 200, 44]


def test_a_formula_may_name_the_other_picture():
    first = pictures("2x3x3 all 250")
    second = pictures("clip(a + 12*((i+j)%3) - 10, 0, 255), same offset in every channel", others={"a": first})
    assert second.shape == first.shape
    assert second[0, :, :, 1].tolist() == [[240, 252, 255], [252, 255, 240]]


def test_patches_stand_in_planes_and_pictures():
    mask = array("6x8 zeros, rows 2..3 cols 3..6 = 255")
    assert mask.shape == (6, 8)
    assert mask.sum() == 8 * 255
    assert mask[2:4, 3:7].min() == 255
    assert pictures("4x4x3 all 1, row 0 cols 1-2 = 9")[0, 0, :, 2].tolist() == [1, 9, 9, 1]
    assert array("3x3 all 1, row 1 = 5, columns 2 = 7").tolist() == [[1, 1, 7], [5, 5, 7], [1, 1, 7]]


def test_pure_colours_and_numbers_as_they_are():
    assert pictures("6x8 (HxW) pure red")[0, 5, 7].tolist() == [255, 0, 0]
    assert pictures([[[0.5, 1, 2]]]).dtype == np.float64


@pytest.mark.parametrize(
    "words", ["a nice photo", "__import__('os')", "2x2 pure nothing", "all", "4x4: i.real", "", "2x2x2x2x2 i"]
)
def test_words_that_say_nothing_known_are_an_error(words):
    with pytest.raises(DataError):
        pictures(words)


# -- references --------------------------------------------------------------------------------------------------------


def a_case(name, metric="psnr", expected=1.0, **given):
    return Case(name, metric, given, expected, tol=0.0)


def test_references_lead_to_the_other_case_and_same_to_what_stands_beside():
    known = by_id([a_case("pattern", a="all 3", b="all 4")])
    assert resolved({"a": "same as pattern", "b": "same"}, known) == {"a": "all 3", "b": "all 4"}
    assert resolved({"a": "all 9", "b": "same"}, known) == {"a": "all 9", "b": "all 9"}
    assert resolved({"a": "all 9", "b": "same as a"}, known) == {"a": "all 9", "b": "all 9"}
    assert resolved({"mask": "as other"}, by_id([a_case("other", mask="zeros")])) == {"mask": "zeros"}
    with pytest.raises(DataError, match="nowhere"):
        resolved({"a": "same as nowhere"}, known)


# -- tolerances and choice ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expected", "found", "tolerance", "holds"),
    [
        (1.0, 1.05, 0.1, True),
        (1.0, 1.2, 0.1, False),
        (100.0, 100.2, 0.1, False),
        (float("inf"), float("inf"), 0.1, True),
        (1.0, float("nan"), 0.1, False),
        (1, True, 0.1, False),
        (True, True, 0, True),
        (True, 1, 0, False),
        ([1, 2], [1, 2, 3], 0, False),
        ([1, 2], (1, 2), 0, True),
        ([[1.0]], np.array([[1.0]]), 0, True),
        ({"a": 1}, {"a": 1, "b": 2}, 0, True),
        ({"a": 1, "b": 2}, {"a": 1}, 0, False),
        ({"1": [3]}, {1: [3]}, 0, True),
        ({"a": None}, {}, 0, True),
        ([None], [float("nan")], 0, True),
        ([None], [1.0], 0, False),
        ({"correct": True, "reason": "x"}, {"correct": True, "reason": "y"}, 0, True),
        ({"correct": True, "reason": ""}, {"correct": False, "reason": ""}, 0, False),
        ("yes", "no", 0, False),
        ([], [], 0, True),
    ],
)
def test_tolerances_are_absolute_and_apply_to_numbers_alone(expected, found, tolerance, holds):
    assert (difference(expected, found, tolerance) is None) == holds


def test_the_runner_that_reads_most_of_the_input_answers():
    runners = Runners()
    runners.add("m", "x")(lambda given: "x")
    runners.add("m", "x", "y")(lambda given: "xy")
    assert runners.find("m", {"x": 1, "z": 1})({}) == "x"
    assert runners.find("m", {"x": 1, "y": 1})({}) == "xy"
    with pytest.raises(DataError, match="takes the keys z"):
        runners.find("m", {"z": 1})
    with pytest.raises(DataError, match="the metric 'unknown'"):
        runners.find("unknown", {})


def test_a_runner_that_fails_is_a_case_that_does_not_hold():
    runners = Runners()
    runners.add("psnr")(lambda given: given["no such key"])
    assert "KeyError" in mistake(a_case("x"), runners, {})


@pytest.mark.parametrize("text", ["", "{", "[]", '{"cases": [{"id": "x"}]}', '{"cases": 3}'])
def test_a_damaged_file_is_one_sentence(text, tmp_path, capsys):
    file = tmp_path / "cases.json"
    file.write_text(text)
    assert main([str(file)]) == 1
    assert str(file) in capsys.readouterr().err


def test_the_command_counts_what_holds(tmp_path, capsys):
    file = tmp_path / "cases.json"
    good = {"id": "g", "metric": "nothing", "input": {}, "expected": 1, "tol": 0}
    file.write_text(json.dumps({"cases": [good]}))
    assert main([str(file)]) == 1
    assert "0 of 1 cases hold" in capsys.readouterr().out
    assert main([str(file), "--metric", "other"]) == 1
