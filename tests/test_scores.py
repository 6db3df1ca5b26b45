"""Scores, fingerprints, score files and comparison of settings."""

import json
import math
import statistics
from hashlib import sha256

import pytest
from attrs import evolve

from nanogen_core.errors import DataError, NanoGenError
from nanogen_eval.record import as_dict, read_scores, write_scores
from nanogen_eval.score import Interval, Score, canonical, fingerprint
from nanogen_eval.table import comparable, footnotes

INTERVAL = Interval(low=0.8, high=0.95, level=0.95, method="BCa", units=10, draws=100)
SETTINGS = {"sampling": {"steps": 50, "sampler": "euler"}, "images": {"rounding": "round"}}
SCORE = Score(
    metric="accuracy",
    value=0.9,
    higher_is_better=True,
    n=10,
    component="classifier",
    values=(0.8, 1.0),
    seeds=(0, 1),
    interval=INTERVAL,
    settings=SETTINGS,
    about={"run": "runs/a"},
)


def with_steps(steps):
    return evolve(SCORE, settings={**SETTINGS, "sampling": {"steps": steps, "sampler": "euler"}})


def test_the_fingerprint_is_the_hash_of_the_canonical_json():
    text = '{"a":[1,2.5],"b":{"c":null,"d":"é"}}'
    assert canonical({"b": {"d": "é", "c": None}, "a": (1.0, 2.5)}) == text
    assert fingerprint({"a": [1, 2.5], "b": {"c": None, "d": "é"}}) == sha256(text.encode()).hexdigest()[:16]


@pytest.mark.parametrize("value", [math.nan, math.inf, {1, 2}, object(), b"x"])
def test_a_setting_without_a_json_form_is_named(value):
    with pytest.raises(NanoGenError, match=r"settings\.metric\.x is .*cannot be stored with a score"):
        canonical({"metric": {"x": value}})


def test_a_key_that_is_no_string_is_named():
    with pytest.raises(NanoGenError, match="the key 3"):
        canonical({"metric": {3: "x"}})


@pytest.mark.parametrize(
    "change",
    [
        {"n": 11},
        {"seeds": (0, 2)},
        {"higher_is_better": False},
        {"metric": "presence"},
        {"component": "another"},
        {"settings": {**SETTINGS, "images": {"rounding": "truncate"}}},
    ],
)
def test_the_fingerprint_depends_on_the_protocol(change):
    assert evolve(SCORE, **change).fingerprint != SCORE.fingerprint


@pytest.mark.parametrize("change", [{"value": 0.1}, {"values": (0.1,)}, {"interval": None}, {"about": {"run": "b"}}])
def test_the_fingerprint_does_not_depend_on_values(change):
    assert evolve(SCORE, **change).fingerprint == SCORE.fingerprint


def test_the_spread_needs_two_seeds():
    assert SCORE.spread == pytest.approx(statistics.stdev([0.8, 1.0]))
    assert evolve(SCORE, values=(0.8,)).spread is None


def test_scores_survive_a_file(tmp_path):
    scores = [SCORE, evolve(SCORE, metric="presence", interval=None, seeds=(), values=(0.5,))]
    path = write_scores(tmp_path, scores)
    assert read_scores(path) == read_scores(tmp_path) == scores
    entry = json.loads(path.read_text())["scores"][0]
    assert (entry["fingerprint"], entry["spread"]) == (SCORE.fingerprint, SCORE.spread)


def test_a_new_score_replaces_the_old_one_and_the_history_keeps_both(tmp_path):
    write_scores(tmp_path, [SCORE, with_steps(10)])
    write_scores(tmp_path, [evolve(SCORE, value=0.7)])
    assert [score.value for score in read_scores(tmp_path)] == [0.9, 0.7]
    history = [json.loads(line)["value"] for line in (tmp_path / "scores.jsonl").read_text().splitlines()]
    assert history == [0.9, 0.9, 0.7]


def test_edited_settings_are_detected(tmp_path):
    path = write_scores(tmp_path, [SCORE])
    path.write_text(path.read_text().replace('"steps": 50', '"steps": 250'))
    with pytest.raises(DataError, match="evaluate again"):
        read_scores(path)


@pytest.mark.parametrize(
    "text", ["[]", '{"format": 2}', '{"format": 1, "scores": [3]}', "{", '{"format": 1, "scores": [{}]}']
)
def test_a_damaged_file_is_an_error(tmp_path, text):
    (tmp_path / "scores.json").write_text(text)
    with pytest.raises(DataError, match="scores.json"):
        read_scores(tmp_path)


def test_equal_settings_are_comparable():
    assert comparable([SCORE, evolve(SCORE, value=0.2, about={})]) == {}
    assert footnotes([SCORE, SCORE]) == ["", ""]


def test_footnotes_name_the_differing_settings():
    rows = [SCORE, with_steps(10), SCORE, evolve(SCORE, settings={**SETTINGS, "sampling": {"steps": 50}}, n=5)]
    assert comparable(rows) == {
        "n": [10, 10, 10, 5],
        "sampling.steps": [50, 10, 50, 50],
        "sampling.sampler": ["euler", "euler", "euler", "not stated"],
    }
    assert footnotes(rows) == [
        "",
        "sampling.steps 10 in place of 50",
        "",
        "n 5 in place of 10; sampling.sampler not stated in place of euler",
    ]


def test_a_footnote_states_a_missing_section_once():
    guided, plain = (
        evolve(SCORE, settings={**SETTINGS, "sampling": {"steps": steps, "guidance": guidance}})
        for steps, guidance in ((50, {"cfg": {"scale": 2.0, "t_min": 0}}), (4, {}))
    )
    assert footnotes([guided, guided, plain]) == [
        "",
        "",
        "sampling.steps 4 in place of 50; sampling.guidance none in place of cfg.scale 2, cfg.t_min 0",
    ]
    assert footnotes([]) == []


def test_as_dict_is_plain_json():
    assert json.loads(json.dumps(as_dict(SCORE))) == as_dict(SCORE)


def test_notes_of_a_metric_are_stored_with_its_score():
    """For example, a Fréchet distance warns about few images."""
    import torch

    from nanogen_core.tensors import Batch
    from nanogen_eval.entry import combined, entries
    from nanogen_eval.options import BootstrapConfig

    class Source:
        requests, settings, about = Batch(torch.arange(3)), {}, {"source": "x"}

    class Few:
        higher_is_better, settings, notes = False, {}, ("3 images are few.",)

        def compute(self):
            return {"distance": 1.0}

    bootstrap = BootstrapConfig(draws=0)
    (score,) = combined([list(entries("few", Few(), Source(), bootstrap, lambda: None))], (), bootstrap, {})
    assert score.about["notes"] == ["3 images are few."]
    assert score.about["source"] == "x"
