"""The benchmarks' files in other encodings and with values of other types: read, or one sentence with the line."""

import json

import pytest

from nanogen_core.errors import DataError
from nanogen_textscore.dpg.answers import read_answers
from nanogen_textscore.dpg.questions import read_prompts as dpg_prompts
from nanogen_textscore.geneval.folders import read_results, samples
from nanogen_textscore.geneval.metadata import read_metadata
from nanogen_textscore.vqa.genai import read_prompts, read_skills

GOOD = {"tag": "counting", "prompt": "two café\u2028signs", "include": [{"class": "dog", "count": 2}]}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_every_file_is_read_in_every_encoding_with_a_mark(tmp_path, encoding):
    def write(name, text):
        (tmp_path / name).write_bytes(text.encode(encoding))
        return tmp_path / name

    line = json.dumps(GOOD, ensure_ascii=False)
    assert read_metadata(str(write("a.jsonl", f"{line}\r\n\r\n{line}\r\n"))) == [GOOD, GOOD]
    result = {"tag": "x", "correct": True, "metadata": "\u2028"}
    assert read_results(write("r.jsonl", json.dumps(result, ensure_ascii=False))) == [result]
    assert dpg_prompts(write("id2prompt.json", '{"b": "ein Käse", "a": "x"}')) == {"a": "x", "b": "ein Käse"}
    (tmp_path / "prompts").mkdir()
    write("prompts/2.txt", "ein Käse\r\n")
    write("prompts/._2.txt", "left by a Mac")
    assert dpg_prompts(tmp_path / "prompts") == {"2": "ein Käse\n"}
    (answer,) = read_answers(write("answers.txt", "x.png, (0, 0, 8, 8), Is it\x0ca Käse?, yes\r\n"))
    assert (answer.question, answer.answer) == ("Is it\x0ca Käse?", "yes")
    assert read_prompts(write("genai.json", '{"00001": {"prompt": "Käse"}}')) == {1: "Käse"}
    assert read_skills(write("skills.json", '{"zählen": [1]}'), {1: "x"}) == {"zählen": [1]}


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"tag": 3}, "lacks a text as its `tag` or `prompt`"),
        ({"prompt": None}, "lacks a text as its `tag` or `prompt`"),
        ({"include": {"class": "dog"}}, "lacks a list as its `include`"),
        ({"exclude": 7}, "lacks a list as its `include`"),
        ({"include": [None]}, "has an item that lacks a text as its `class`"),
        ({"include": [{"class": "dog", "count": True}]}, "has an item .* or a whole number as its `count`"),
        ({"include": [{"class": "dog", "count": 10**30}]}, "has an item whose `count` is not from 1 to 1000"),
        ({"include": [{"class": "dog", "count": -1}]}, "has an item whose `count` is not from 1 to 1000"),
        (
            {"include": [{"class": "dog", "count": 1, "color": ["red"]}]},
            "has an item .* `color` is not a text",
        ),
        *(
            (
                {"include": [GOOD["include"][0], {"class": "cat", "count": 1, "position": place}]},
                "has an invalid `position`: expected a relation",
            )
            for place in (
                None,
                3,
                [],
                ["above"],
                ["above", "0"],
                ["above", True],
                ["beside", 0],
                [["above"], 0],
                {"a": 1},
            )
        ),
    ],
)
def test_a_line_of_another_form_is_named(tmp_path, change, fault):
    (tmp_path / "x.jsonl").write_text(json.dumps(GOOD) + "\n\n" + json.dumps({**GOOD, **change}))
    with pytest.raises(DataError, match=rf"Line 3 of .*x\.jsonl {fault}"):
        read_metadata(str(tmp_path / "x.jsonl"))
    (tmp_path / "00000").mkdir()
    (tmp_path / "00000/metadata.jsonl").write_text(json.dumps({**GOOD, **change}))
    with pytest.raises(DataError, match=rf"metadata\.jsonl {fault}"):
        list(samples(tmp_path))


@pytest.mark.parametrize("line", [[1], "x", None, 3])
def test_metadata_of_an_official_folder_is_an_object(tmp_path, line):
    (tmp_path / "00000").mkdir()
    (tmp_path / "00000/metadata.jsonl").write_text(json.dumps(line))
    with pytest.raises(DataError, match="is not a JSON object"):
        list(samples(tmp_path))


@pytest.mark.parametrize("one", [{"correct": 1}, {"correct": None}, {"tag": 1}, {"metadata": {}}, {"prompt": [1]}])
def test_results_of_other_types_are_named(tmp_path, one):
    good = {"tag": "x", "correct": True, "metadata": "m", "prompt": "p"}
    (tmp_path / "r.jsonl").write_text(json.dumps(good) + "\n" + json.dumps({**good, **one}))
    with pytest.raises(DataError, match="Line 2 of .* lacks `tag` or `correct`"):
        read_results(tmp_path / "r.jsonl")


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "3",
        '{"1": {"prompt": 3}}',
        '{"1": null}',
        '{"1": {}}',
        '{"x": {"prompt": "a"}}',
        '{"1_0": {"prompt": "a"}}',
        '{" 1": {"prompt": "a"}}',
        '{"1": {"prompt": "a"}, "01": {"prompt": "b"}}',
        '{"' + "9" * 5000 + '": {"prompt": "a"}}',
        "{}",
    ],
)
def test_prompts_of_another_form_are_refused(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(DataError, match=r"x\.json .*official genai_image\.json"):
        read_prompts(tmp_path / "x.json")


@pytest.mark.parametrize(
    "text", ["[]", "null", '{"a": 3}', '{"a": [[1]]}', '{"a": ["1"]}', '{"a": [true]}', '{"a": [1.0]}']
)
def test_skills_of_another_form_are_refused(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(DataError, match=r"x\.json is not of the form .*official genai_skills\.json"):
        read_skills(tmp_path / "x.json", {1: "a"})
