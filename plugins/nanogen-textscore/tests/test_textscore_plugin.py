"""The manifest, the published cases, and `nanogen evaluate` from end to end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from nanogen_core.errors import DataError
from nanogen_core.testing import PluginContract
from tests.evaluation_cases.__main__ import by_id, mistake
from tests.evaluation_cases.files import read_cases
from tests.evaluation_cases.textscore import RUNNERS

CASES = by_id(read_cases(Path(__file__).parents[3] / "tests" / "data" / "evaluation_cases.json"))
OURS = [case for case in CASES.values() if case.metric in {"geneval", "dpg", "vqascore", "genai_bench", "clipscore"}]


@pytest.fixture
def manifest() -> str:
    return "nanogen_textscore.plugin"


class TestPlugin(PluginContract):
    required = frozenset({"file", "model", "path"})  # of the recorded answers and of a chat model


@pytest.mark.parametrize("case", OURS, ids=lambda case: case.id)
def test_the_published_cases_hold(case):
    assert mistake(case, RUNNERS, CASES) is None


def answer(metric: str, **given):
    return RUNNERS.find(metric, given)(given)


def test_crowds_are_read_from_words():
    assert answer("geneval", dets="5 cats with scores .92-.01k", tag="counting") == 2
    assert answer("geneval", dets="30 teddy bears with scores .5 - .01k", tag="colors") == 16
    assert answer("geneval", dets="30 dogs with scores .5-.01k", tag="colors", max_objects=40) == 20
    with pytest.raises(DataError, match="are not of the form"):
        answer("geneval", dets="some dogs", tag="colors")


def test_masks_are_read_from_words():
    words = "2x4x6: q0 +6 at rows 1..2 cols 0..4 else -6; q1 all -1"
    given = {"class_logits": [[9.0, 0.0], [0.0, 9.0]], "image_size": [4, 6], "mask_logits": words}
    assert [one["mask_pixels"] for one in answer("geneval", **given, threshold=0.0)] == [10]
    with pytest.raises(DataError, match="are not of the form"):
        answer("geneval", **{**given, "mask_logits": "2x4x6: everywhere"})


def test_a_crop_needs_no_mask():
    cut = answer("geneval", image="4x6 (HxW) pure blue", box=[1, 1, 4, 3])
    assert (cut["size_wh"], cut["pixels_rgb"].shape) == ((3, 2), (2, 3, 3))
    assert cut["pixels_rgb"][0, 0].tolist() == [0, 0, 255]


def test_squares_are_read_from_words():
    found = answer("vqascore", image="2x6 (WxH) all 9", background=[1, 2, 3])
    assert (found["size"], found["cols_of_background"].tolist()) == ((6, 6), [0, 1, 4, 5])


def test_images_of_another_program_are_evaluated_from_the_command_line(tmp_path, clip_folder, detector_folder):
    from click.testing import CliRunner

    from nanogen_core.cli.main import cli
    from nanogen_files.images import to_pil

    line = {"tag": "single_object", "include": [{"class": "dog", "count": 1}], "prompt": "a photo of a dog"}
    (tmp_path / "lines.jsonl").write_text(json.dumps(line) + "\n")
    folder = tmp_path / "images" / "00000" / "samples"
    folder.mkdir(parents=True)
    for number, picture in enumerate(to_pil(torch.rand(2, 3, 32, 32) * 2 - 1)):
        picture.save(folder / f"{number:05d}.png")
    options = {
        "metadata": tmp_path / "lines.jsonl",
        "images_per_prompt": 2,
        "clip": clip_folder,
        "detector": f"{{name: mask2former, path: {detector_folder}, shortest: 64, longest: 100}}",
    }
    settings = [word for key, value in options.items() for word in ("--set", f"metric.geneval.{key}={value}")]
    ran = CliRunner().invoke(cli, ["evaluate", str(tmp_path / "images"), "--metrics", "geneval", "--json", *settings])
    assert ran.exit_code == 0, ran.output
    scores = {score["metric"]: score for score in json.loads(ran.stdout)}
    assert scores.keys() == {"geneval", "geneval_images", "geneval_single_object"}
    assert scores["geneval"]["n"] == 2
    assert scores["geneval"]["settings"]["metric_settings"]["images_per_prompt"] == 2
