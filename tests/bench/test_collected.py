"""Tables and cards from the scores of runs: against means, deviations and fingerprints worked out by hand."""

import csv
import io
import json

import pytest
from attrs import evolve
from click.testing import CliRunner

from nanogen_bench.cli.card import card as card_command
from nanogen_bench.cli.collect import collect
from nanogen_bench.collected.card import card, markdown
from nanogen_bench.collected.entries import called, entries
from nanogen_bench.collected.models import models
from nanogen_bench.correlation.table import read_table
from nanogen_core.errors import DataError
from nanogen_eval.record import write_scores
from nanogen_eval.score import Interval, Score
from nanogen_files import yaml_files

ACCURACY = Score(
    metric="accuracy",
    value=0.8,
    higher_is_better=True,
    n=512,
    component="judge",
    values=(0.8,),
    seeds=(0,),
    interval=Interval(low=0.77, high=0.83, level=0.95, method="BCa", units=512, draws=1000),
    settings={"sampling": {"steps": 25}},
)
DISTANCE = evolve(ACCURACY, metric="frechet", value=4.0, values=(4.0,), higher_is_better=False, interval=None)
PRESENCE = evolve(ACCURACY, metric="presence", value=0.5, values=(0.5,))


def valued(score, value, **changes):
    return evolve(score, value=value, values=(value,), **changes)


def lay(folder, *scores, task="imagenet", seed=0, method="vae", tokenizer="openmoji-vae"):
    folder.mkdir(parents=True)
    train = {"steps": 400, "batch_size": 64}
    config = {"task": {"name": task}, "method": method, "seed": seed, "tokenizer": {"name": tokenizer}, "train": train}
    (folder / "config.yaml").write_text(yaml_files.dump(config))
    if scores:
        write_scores(folder, scores)
    return str(folder)


@pytest.fixture
def runs(tmp_path):
    """Two models on two tasks with two seeds; one run was sampled with fewer steps."""
    places = []
    for seed, accuracy, distance, presence in ((0, 0.8, 4.0, 0.5), (1, 0.6, 5.0, 0.7)):
        changes = {"seeds": (seed,)}
        scores = valued(ACCURACY, accuracy, **changes), valued(DISTANCE, distance, **changes)
        places.append(lay(tmp_path / "imagenet" / "vae" / f"seed-{seed}", *scores, seed=seed))
        text = valued(PRESENCE, presence, **changes)
        places.append(lay(tmp_path / "t2i" / "vae" / f"seed-{seed}", text, task="t2i", seed=seed))
    fewer = valued(ACCURACY, 0.9, settings={"sampling": {"steps": 4}})
    about = {"method": "pixel", "tokenizer": "pixel"}
    places.append(lay(tmp_path / "imagenet" / "pixel" / "seed-0", fewer, valued(DISTANCE, 3.0), **about))
    places.append(lay(tmp_path / "t2i" / "pixel" / "seed-0", valued(PRESENCE, 0.9), task="t2i", **about))
    return places


def table(places, *options):
    answer = CliRunner().invoke(collect, [*places, *options])
    assert answer.exit_code == 0, answer.output
    return {row["model"]: row for row in csv.DictReader(io.StringIO(answer.output))}


def test_a_row_has_the_means_over_seeds_of_both_tasks(runs):
    row = table(runs)["vae"]
    assert float(row["accuracy"]) == pytest.approx(0.7)
    assert float(row["accuracy_sd"]) == pytest.approx(0.1 * 2**0.5)  # of 0.6 and 0.8, n - 1
    assert float(row["frechet"]) == 4.5
    assert float(row["presence"]) == pytest.approx(0.6)
    assert (row["family"], row["tokenizer"], row["seeds"], row["n"]) == ("vae", "openmoji-vae", "2", "512")


def test_only_what_differs_from_most_is_said_at_its_row(runs):
    rows = table(runs)
    assert rows["vae"]["note"] == ""
    assert "accuracy: sampling.steps 4 in place of 25" in rows["pixel"]["note"]
    assert "runs 1 in place of 2" in rows["pixel"]["note"]


def test_correlate_reads_the_table(runs, tmp_path):
    file = tmp_path / "out" / "table.csv"
    answer = CliRunner().invoke(collect, [*runs, "--output", str(file)])
    assert "Different settings: pixel" in answer.output
    read = read_table(file)
    assert read.models == ("vae", "pixel")
    assert read.numbers("frechet").tolist() == [4.5, 3.0]


def test_a_row_for_each_run(runs):
    answer = CliRunner().invoke(collect, [*runs, "--each"])
    rows = list(csv.DictReader(io.StringIO(answer.output)))
    assert [(row["model"], row["task"], row["seed"]) for row in rows][:2] == [
        ("vae", "imagenet", "0"),
        ("vae", "t2i", "0"),
    ]
    assert rows[0]["presence"] == ""
    assert float(rows[2]["accuracy"]) == 0.6


def test_a_score_that_both_tasks_have_gets_the_tasks_name(tmp_path):
    places = [lay(tmp_path / "a", DISTANCE), lay(tmp_path / "b", valued(DISTANCE, 9.0), task="t2i")]
    found = models(entries([f"one={place}" for place in places]))
    assert {column: mean.value for column, mean in found[0].means.items()} == {
        "frechet_imagenet": 4.0,
        "frechet_t2i": 9.0,
    }


def test_the_newest_score_of_a_name_counts(tmp_path):
    place = lay(tmp_path / "a", ACCURACY)
    write_scores(tmp_path / "a", [valued(ACCURACY, 0.1, settings={"sampling": {"steps": 4}})])
    assert entries([place])[0].scores["accuracy"].value == 0.1


@pytest.mark.parametrize(
    ("path", "task", "name"),
    [
        ("runs/mini/t2i/vae+repa/seed-0", "t2i", "vae+repa"),
        ("runs/class", "imagenet", "class"),
        ("runs/rae/imagenet", "imagenet", "rae"),
    ],
)
def test_a_run_is_called_after_its_folder(tmp_path, path, task, name):
    assert called(tmp_path / path, task) == name


def test_a_name_may_be_given_and_brings_runs_together(runs):
    assert list(table([f"both={runs[0]}", f"both={runs[1]}"])) == ["both"]


def test_an_equals_sign_in_an_existing_path_names_nothing(tmp_path):
    place = lay(tmp_path / "lr=1e-4" / "vae", ACCURACY)
    assert list(table([place])) == ["vae"]
    assert list(table([f"named={place}"])) == ["named"]


def test_two_runs_that_would_count_as_one_are_refused(tmp_path):
    places = [lay(tmp_path / name / "vae", ACCURACY) for name in ("a", "b")]
    with pytest.raises(DataError, match="NAME=FOLDER"):
        entries(places)


def test_what_is_no_judged_run_says_what_to_do(tmp_path):
    with pytest.raises(DataError, match="is not a run folder"):
        entries([str(tmp_path)])
    with pytest.raises(DataError, match="nanogen evaluate"):
        entries([lay(tmp_path / "a")])


# -- the card --------------------------------------------------------------------------------------------------------


def test_a_card_has_both_tasks_with_seeds_intervals_and_fingerprints(runs):
    found = card(entries(runs[:4]))
    assert found["tasks"].keys() == {"imagenet", "t2i"}
    accuracy = found["tasks"]["imagenet"]["scores"][0]
    assert accuracy["value"] == pytest.approx(0.7)
    assert accuracy["sd"] == pytest.approx(0.1 * 2**0.5)
    assert accuracy["n"] == [512]
    assert [run["seed"] for run in accuracy["runs"]] == [0, 1]
    assert accuracy["runs"][0]["fingerprint"] == ACCURACY.fingerprint
    assert accuracy["runs"][0]["interval"]["low"] == 0.77
    assert found["tasks"]["imagenet"]["differing"] == ["seed"]
    assert json.loads(json.dumps(found)) == found


def test_a_card_in_markdown(runs):
    text = markdown(card(entries(runs[:4])))
    assert "| accuracy ↑ | 0.7000 | 0.1414 over 2 seeds | 0.7700 to 0.8300 (95%) | 512 |" in text
    assert "| frechet ↓ | 4.500 |" in text
    assert "400 steps of 64 images; seeds 0, 1." in text


def test_nothing_in_a_name_is_markdown(tmp_path):
    place = lay(tmp_path / "a", ACCURACY)
    assert "# \\*\\*x\\*\\* \\| y" in markdown(card(entries([f"**x** | y={place}"])))


def test_a_card_is_about_one_model(runs):
    with pytest.raises(DataError, match="pixel, vae"):
        card(entries(runs))


def test_the_command_writes_both_forms(runs, tmp_path):
    answer = CliRunner().invoke(card_command, [*runs[:4], "--output", str(tmp_path / "card")])
    assert answer.exit_code == 0, answer.output
    assert json.loads((tmp_path / "card" / "card.json").read_text())["model"] == "vae"
    assert (tmp_path / "card" / "card.md").read_text().startswith("# vae\n")


def test_a_difference_of_all_scores_is_said_once():
    from nanogen_bench.collected.models import Mean, _notes
    from nanogen_eval.score import Score

    def mean(column, steps, count=1):
        scores = [
            Score(metric=column, value=0.5, higher_is_better=True, n=8, component=column, values=(0.5,),
                  settings={"sampling": {"steps": steps}})
            for _ in range(count)
        ]  # fmt: skip
        return Mean(column=column, metric=column, task="a", seeds=tuple(range(count)), scores=tuple(scores))

    means = {name: {column: mean(column, 25, 2) for column in ("x", "y")} for name in ("one", "two")}
    means["fast"] = {column: mean(column, 4, 2) for column in ("x", "y")}
    means["short"] = {"x": mean("x", 25), "y": mean("y", 25, 2)}
    assert _notes(means) == {
        "fast": ["every score: sampling.steps 4 in place of 25"],
        "short": ["x: runs 1 in place of 2"],
    }


# -- nobody else's files are replaced ----------------------------------------------------------------------------------


def test_a_table_of_the_users_is_not_replaced(runs, tmp_path):
    for text in ("model,family,tokenizer,fid\nmine,a,b,3.2\n", "notes", ""):
        (tmp_path / "table.csv").write_text(text)
        answer = CliRunner().invoke(collect, [*runs, "--output", str(tmp_path / "table.csv")])
        assert "table.csv exists, and is not a file that `nanogen bench collect` wrote" in str(answer.exception)
        assert (tmp_path / "table.csv").read_text() == text


@pytest.mark.parametrize("words", [(), ("--each",)])
def test_a_table_of_an_earlier_call_is_replaced(runs, tmp_path, words):
    call = [*runs, *words, "--output", str(tmp_path / "table.csv")]
    CliRunner().invoke(collect, call, catch_exceptions=False)
    first = (tmp_path / "table.csv").read_text()
    (tmp_path / "table.csv").write_text(first.splitlines()[0] + "\n")
    assert CliRunner().invoke(collect, call, catch_exceptions=False).exit_code == 0
    assert (tmp_path / "table.csv").read_text() == first


@pytest.mark.parametrize(("name", "text"), [("card.md", "# my own card"), ("card.json", '{"model": "mine"}')])
def test_neither_file_of_a_card_is_written_where_one_is_the_users(runs, tmp_path, name, text):
    (tmp_path / "card").mkdir()
    (tmp_path / "card" / name).write_text(text)
    answer = CliRunner().invoke(card_command, [*runs[:4], "--output", str(tmp_path / "card")])
    assert f"{name} exists, and is not a file that `nanogen bench card` wrote" in str(answer.exception)
    assert [(file.name, file.read_text()) for file in (tmp_path / "card").iterdir()] == [(name, text)]


def test_a_card_of_an_earlier_call_is_replaced(runs, tmp_path):
    found = []
    for _ in range(2):
        answer = CliRunner().invoke(card_command, [*runs[:4], "--output", str(tmp_path)], catch_exceptions=False)
        found.append({file.name: file.read_text() for file in tmp_path.glob("card.*")})
        assert answer.exit_code == 0
    assert found[0] == found[1]
    assert set(found[0]) == {"card.md", "card.json"}


def test_a_link_is_not_replaced(runs, tmp_path):
    (tmp_path / "table.csv").symlink_to(tmp_path / "elsewhere.csv")
    answer = CliRunner().invoke(collect, [*runs, "--output", str(tmp_path / "table.csv")])
    assert "is not a file that" in str(answer.exception)
