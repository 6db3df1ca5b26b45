"""DPG-Bench: files, points, categories, grids, and answers of a network or of a file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from nanogen_core.errors import ConfigError, DataError, NanoGenError
from nanogen_core.tensors import Batch
from nanogen_files.images import to_tensor
from nanogen_textscore.config import BlipVQAConfig, DPGConfig, RecordedAnswersConfig
from nanogen_textscore.dpg.answers import Answer, BlipVQA, RecordedAnswers, read_answers, write_answers
from nanogen_textscore.dpg.grids import join_images, main, split_grid
from nanogen_textscore.dpg.metric import DPGBench
from nanogen_textscore.dpg.questions import read_prompts, read_questions
from nanogen_textscore.dpg.scoring import score_answers
from nanogen_textscore.protocols import ImageKey

HEAD = "item_id,text,keywords,proposition_id,dependency,category_broad,category_detailed,tuple,"
CSV = f"""{HEAD}question_natural_language
10,p,,1,0,entity,whole,entity - whole (cat),Is there a cat?
10,p,,2,1,attribute,color,"attribute - color (cat, red)",Is the cat red?
10,p,,3,"1,2",relation,non-spatial,"relation - non-spatial (cat, dog, play)","Do they play, or not?"
2,q,,1,0,global,,global - (photo),Is it a photo?
"""
PROMPTS = {"10": " a red cat plays with a dog ", "2": "a photo"}


def test_the_files_are_read_in_the_order_in_which_their_images_are(tmp_path, write_json):
    for item, text in PROMPTS.items():
        (tmp_path / f"{item}.txt").write_text(text)
    assert list(read_prompts(tmp_path).items()) == [("2", PROMPTS["2"]), ("10", PROMPTS["10"])]
    assert read_prompts(Path(write_json("one.json", PROMPTS))) == read_prompts(tmp_path)


def test_the_published_loaders_lose_the_first_question():
    whole, published = read_questions(CSV), read_questions(CSV, skip_first_row=True)
    assert [list(questions) for questions in whole.values()] == [[1, 2, 3], [1]]
    assert [list(questions) for questions in published.values()] == [[2, 3], [1]]
    assert whole["10"][3].parents == (1, 2)
    assert whole["10"][3].text == "Do they play, or not?"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "needs a header with the columns `item_id`"),
        ("item_id,text\n", "needs a header with the columns .*, but it has: item_id, text"),
        (CSV.splitlines()[0], "has no questions"),
        (CSV.replace('"1,2"', '"1,x"'), "Line 4 of .* is invalid: proposition_id must be"),
        (
            CSV.replace(",2,1,attribute", ",two,1,attribute"),
            "Line 3 of .* is invalid: proposition_id must be",
        ),
        (CSV + CSV.splitlines()[1], "Line 6 of .* has another question of the prompt '10', but the rows"),
        (CSV + "2", "Line 6 of .* has 1 cell, but the header has 9"),
    ],
)
def test_a_damaged_csv_is_a_sentence(text, sentence):
    with pytest.raises(DataError, match=sentence):
        read_questions(text)


def test_the_last_of_two_questions_of_one_number_is_used_and_a_warning_names_it(caplog):
    lines = CSV.splitlines(keepends=True)
    items = read_questions("".join([*lines[:3], lines[2].replace("red?", "blue?"), *lines[3:]]), source="twice.csv")
    assert [one.text for one in items["10"].values()] == [
        "Is there a cat?",
        "Is the cat blue?",
        "Do they play, or not?",
    ]
    assert "Line 4 of twice.csv repeats the question number 2 of the prompt '10'" in caplog.text
    caplog.clear()
    read_questions(CSV, source="once.csv")
    assert not caplog.text


def test_points_are_handed_down_until_nothing_changes_where_parents_come_first():
    """With parents before children, one pass does what repeating it until it stops changing does."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        raw = {n: float(torch.rand((), generator=generator) > 0.3) for n in range(1, 9)}
        draws = torch.rand(9, 9, generator=generator)
        parents = {n: [p for p in range(1, n) if draws[n, p] < 0.2] or [0] for n in raw}
        left = dict(raw)
        for _ in raw:
            left = {n: raw[n] * all(left[p] for p in parents[n] if p) for n in raw}
        assert score_answers(raw, parents).adjusted == left


def test_a_parent_without_an_answer_counts_as_yes():
    assert score_answers({2: 1.0}, {2: [1]}).score == 1.0


def picture(shade: int) -> Image.Image:
    return Image.new("RGB", (8, 8), (shade,) * 3)


def as_images(pictures: Sequence[Image.Image]) -> torch.Tensor:
    return torch.stack([to_tensor(one) for one in pictures])


ANSWERS = {  # of each picture, to its questions in order: the prompt "2" comes first
    ("2", 0): ["yes"],
    ("2", 1): ["a photo"],
    ("10", 0): ["yes", "no", "yes"],
    ("10", 1): ["no", "yes", "yes"],
}


@pytest.fixture
def files(tmp_path: Path, write_json) -> dict[str, str]:
    questions = read_questions(CSV)
    tiles = [(0, 0, 8, 8), (8, 0, 16, 8)]
    lines = [
        Answer(f"/images/{item}.png", tiles[number], one.text, answer)
        for (item, number), answers in ANSWERS.items()
        for one, answer in zip(questions[item].values(), answers, strict=True)
    ]
    write_answers(tmp_path / "answers_detail.txt", lines)
    (tmp_path / "dpg_bench.csv").write_text(CSV)
    return {
        "questions": str(tmp_path / "dpg_bench.csv"),
        "prompts": write_json("id2prompt.json", PROMPTS),
        "answers": str(tmp_path / "answers_detail.txt"),
    }


def made(files: dict[str, str], **more) -> DPGBench:
    vqa = {"name": "recorded-answers", "file": files["answers"], "model": "mplug large"}
    return DPGBench(
        DPGConfig(questions=files["questions"], prompts=files["prompts"], images_per_prompt=2, vqa=vqa, **more)
    )


def test_scores_are_those_of_paper_and_pencil(files):
    metric = made(files)
    asked = metric.eval_batch()
    assert asked.captions == ["a photo", "a photo", PROMPTS["10"], PROMPTS["10"]]
    metric.update(as_images([picture(n) for n in range(4)]), asked)
    assert set(metric.compute()) <= set(metric.score_names)
    assert metric.compute() == pytest.approx(
        {
            "dpgbench": (1 + 0 + 1 / 3 + 0) / 4,  # a no to the first or second takes the third along
            "dpgbench_global": 1 / 2,
            "dpgbench_entity": 1 / 2,
            "dpgbench_entity_whole": 1 / 2,
            "dpgbench_attribute": 1 / 2,
            "dpgbench_attribute_color": 1 / 2,
            "dpgbench_relation": 1.0,  # raw answers
            "dpgbench_relation_non_spatial": 1.0,
        }
    )
    assert metric.units == 2
    assert metric.resampled(torch.tensor([0, 0])) == {"dpgbench": 0.5, "dpgbench_global": 0.5}
    assert metric.resampled(torch.tensor([1, 0])) == metric.compute()


def test_the_published_option_says_so_and_changes_the_score(files):
    metric = made(files, first_row="skipped")
    metric.update(as_images([picture(n) for n in range(4)]), metric.eval_batch())
    assert metric.compute()["dpgbench"] == pytest.approx((1 + 0 + 0 + 1) / 4)
    assert metric.settings["first_row"] == "skipped"
    assert "dpgbench_entity" not in metric.compute()


def test_scores_depend_on_no_batch_order_or_process(files):
    images, whole = as_images([picture(n) for n in range(4)]), made(files)
    asked = whole.eval_batch()
    whole.update(images, asked)
    one, other = made(files), made(files)
    for index in (3, 0):
        one.update(images[index : index + 1], asked.part(index, index + 1))
    other.update(images[1:3], asked.part(1, 3))
    one.merge(other.state())
    assert one.compute() == whole.compute()


@pytest.mark.parametrize("order", [[2, 0, 3, 1], [3, 2, 1, 0], [0, 2, 1]])
def test_recorded_answers_are_those_of_the_kth_image_of_a_prompt_in_any_order(files, order):
    captions = made(files).eval_batch().captions
    requests = Batch(torch.arange(len(order)), captions=[captions[row] for row in order])
    images, source = as_images([picture(n) for n in range(len(order))]), SimpleNamespace(requests=requests)
    whole, one, other = made(files), made(files), made(files)
    for metric in (whole, one, other):
        metric.compare_with(source)
    whole.update(images, requests)
    one.update(images[:1], requests.part(0, 1))
    other.update(images[1:], requests.part(1, len(order)))
    one.merge(other.state())
    of_prompt = [one // 2 for one in order]  # the k-th image of a prompt has the answers of its k-th tile
    points = [{0: [1, 0], 1: [1 / 3, 0]}[number][of_prompt[:row].count(number)] for row, number in enumerate(of_prompt)]
    assert whole.compute()["dpgbench"] == pytest.approx(sum(points) / len(points))
    assert one.compute() == whole.compute()
    with pytest.raises(NanoGenError, match=r"image 0 is of the prompt '10', but|image 1 is of the prompt '10', but"):
        made(files).update(images, requests)


def test_a_fingerprint_says_who_answered(files):
    settings = made(files).settings
    assert settings["vqa"]["model"] == "mplug large"
    assert len(settings["vqa"]["answers"]) == len(settings["questions"]) == 64
    json.dumps(settings)


def test_answers_are_written_as_the_original_tool_does_and_read_again(files):
    first = Path(files["answers"]).read_text().splitlines()
    assert first[0] == "/images/2.png, (0, 0, 8, 8), Is it a photo?, yes"
    assert first[4] == "/images/10.png, (0, 0, 8, 8), Do they play, or not?, yes"
    write_answers(Path(files["answers"] + "2"), read_answers(Path(files["answers"])))
    assert Path(files["answers"] + "2").read_text().splitlines() == first


def test_missing_and_damaged_answers_are_sentences(files, tmp_path):
    model = RecordedAnswers(RecordedAnswersConfig(file=files["answers"], model="m"))
    with pytest.raises(DataError, match="no answer to 'Is it a photo.*' for image 2 of the prompt '2'"):
        model.answer(picture(0), ["Is it a photo?"], ImageKey("2", 2))
    (tmp_path / "bad.txt").write_text("x.png, (0, 0), Is it?, yes\n")
    with pytest.raises(DataError, match="Line 1 of .*bad.txt"):
        read_answers(tmp_path / "bad.txt")
    (tmp_path / "bad.txt").write_text("x.png, (4, 0, 12, 8), Is it?, yes\n")
    with pytest.raises(DataError, match=r"has the box \(4, 0, 12, 8\), which is not a cell"):
        RecordedAnswers(RecordedAnswersConfig(file=str(tmp_path / "bad.txt"), model="m")).answer(
            picture(0), ["Is it?"], ImageKey("x", 0)
        )


def test_missing_files_are_named(tmp_path, monkeypatch, files):
    monkeypatch.delenv("NANOGEN_DATA", raising=False)
    with pytest.raises(DataError, match="Set the option `prompts` to it, or the environment variable NANOGEN_DATA"):
        DPGBench(DPGConfig()).eval_batch()
    monkeypatch.setenv("NANOGEN_DATA", str(tmp_path))
    with pytest.raises(DataError, match=f"There is no {tmp_path}/dpgbench/prompts"):
        DPGBench(DPGConfig()).eval_batch()
    Path(files["prompts"]).write_text(json.dumps({**PROMPTS, "new": "more"}))
    with pytest.raises(DataError, match="has no questions for the prompt 'new'"):
        made(files).update(as_images([picture(0)]), Batch(torch.tensor([0])))


def test_errors_of_the_vqa_model_name_the_option_of_the_metric():
    with pytest.raises(ConfigError, match="^metric.dpgbench.vqa.pth: unknown key"):
        DPGBench(DPGConfig(vqa={"name": "blip-vqa", "pth": "x"}))


def test_the_first_row_has_two_names(files):
    from nanogen_core.named_components import build_named

    with pytest.raises(ConfigError, match="expected one of read, skipped, got 'lost'"):
        build_named("metric", {"name": "dpgbench", "first_row": "lost"})


def test_blip_answers_as_transformers_does(blip_folder):
    from transformers import AutoTokenizer, BlipForQuestionAnswering, BlipImageProcessorPil

    shades, questions = [picture(0), picture(255)], ["is there a dog ?", "a red cat"]
    model = BlipVQA(BlipVQAConfig(path=str(blip_folder), max_tokens=4))
    network = BlipForQuestionAnswering.from_pretrained(blip_folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(blip_folder)
    processor = BlipImageProcessorPil.from_pretrained(blip_folder)
    for shade in shades:
        pixels = processor(images=shade, return_tensors="pt")["pixel_values"]
        expected = []
        for question in questions:
            tokens = tokenizer(question, return_tensors="pt")
            written = network.generate(
                input_ids=tokens.input_ids, attention_mask=tokens.attention_mask, pixel_values=pixels, max_new_tokens=4
            )
            expected.append(tokenizer.batch_decode(written, skip_special_tokens=True)[0])
        assert model.answer(shade, questions, ImageKey("x", 0)) == expected
        assert all(expected)
    assert "not the official mPLUG" in model.settings["kind"]


def test_grids_are_joined_and_split(tmp_path):
    shades = [picture(40 * n) for n in range(4)]
    assert [one.tobytes() for one in split_grid(join_images(shades))] == [one.tobytes() for one in shades]
    assert join_images(shades).getpixel((12, 4)) == (40,) * 3  # the second lies to the right of the first
    for number, shade in enumerate(shades):
        file = tmp_path / f"images/x1/{number:05d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        shade.save(file)
    assert main(["join", str(tmp_path / "images"), str(tmp_path / "grids")]) == 0
    assert main(["split", str(tmp_path / "grids"), str(tmp_path / "again")]) == 0
    for number, shade in enumerate(shades):
        assert Image.open(tmp_path / f"again/x1/{number:05d}.png").tobytes() == shade.tobytes()


def test_what_makes_no_grid_is_a_sentence(tmp_path, capsys):
    with pytest.raises(NanoGenError, match="not squares of one size"):
        join_images([picture(0), Image.new("RGB", (8, 9))])
    with pytest.raises(NanoGenError, match="1 to 4 images, got 5"):
        join_images([picture(0)] * 5)
    assert main(["join", str(tmp_path), str(tmp_path / "out")]) == 1
    assert "has no folders" in capsys.readouterr().err
    (tmp_path / "images/b").mkdir(parents=True)
    (tmp_path / "images/.cache").mkdir()
    (tmp_path / "images/a").mkdir()
    picture(0).save(tmp_path / "images/a/00000.png")
    assert main(["join", str(tmp_path / "images"), str(tmp_path / "out")]) == 1
    assert f"{tmp_path}/images/b has no PNG images" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    (tmp_path / "images/b").rmdir()
    assert main(["join", str(tmp_path / "images"), str(tmp_path / "out")]) == 0
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["a.png"]
    with pytest.raises(NanoGenError, match="1 to 4 images, got 0"):
        join_images([])
    assert main(["split", str(tmp_path / "nowhere"), str(tmp_path / "out")]) == 1


def test_the_layout_is_that_of_the_original_tool(files, tmp_path):
    several = [str(place.relative_to(tmp_path)) for place in made(files).layout(tmp_path)]
    assert several == ["2/00000.png", "2/00001.png", "10/00000.png", "10/00001.png"]
    config = DPGConfig(questions=files["questions"], prompts=files["prompts"], images_per_prompt=1)
    assert [place.name for place in DPGBench(config).layout(tmp_path)] == ["2.png", "10.png"]
