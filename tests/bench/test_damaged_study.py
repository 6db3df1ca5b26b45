"""One damaged run, or one damaged file, hides no other: `runs`, `bench collect`, `bench report` and `bench audit`."""

import csv
import io
import itertools
import json
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from nanogen_bench.audit.compare import audit
from nanogen_bench.cli.collect import collect
from nanogen_bench.cli.report import report
from nanogen_bench.mini import outcome, plan
from nanogen_bench.mini.job import jobs
from nanogen_core.errors import DataError
from nanogen_files import storage, yaml_files
from nanogen_train.cli.runs import runs
from tests.bench.finished_runs import write_finished

METHODS = {"a": 0.1, "b": 0.2, "c": 0.3, "d": 0.4, "e": 0.5}  # their scores
PLAN = {
    "tasks": ["imagenet", "t2i"],
    "seeds": [0],
    "steps": 4,
    "eval_samples": 8,
    "x": ["accuracy"],
    "y": ["presence"],
    "base": {"method": "vae"},
    "methods": {name: {"summary": f"summary of {name}", "family": "vae"} for name in METHODS},
}
DAMAGED = "imagenet/c/seed-0"
NAMES = ("config.yaml", "log.jsonl", "run.json", "result.json", "scores.json")


@pytest.fixture(scope="module")
def made():
    """A finished study of ten runs, in a folder that every user may enter."""
    home = Path(tempfile.mkdtemp(prefix="nanogen-damaged-"))
    home.chmod(0o755)
    folder = home / "study"
    storage.write_text(folder / "plan.yaml", yaml_files.dump(PLAN))
    checked = plan.checked(PLAN)
    todo = jobs(checked, folder, list(METHODS))
    for job in todo:
        write_finished(job, METHODS[job.name])
    list(outcome.write(checked, folder, todo))
    assert (
        CliRunner().invoke(report, [str(folder), "--draws", "100"]).exit_code == 0
    )  # imports what a user may not read
    (folder / "report.html").unlink()
    yield folder
    shutil.rmtree(home)


@pytest.fixture
def study(made):
    copy = made.with_name("copy")
    yield shutil.copytree(made, copy)
    for place, within, _ in os.walk(copy):
        for name in within:
            Path(place, name).chmod(0o755)  # or an ordinary user could not delete it
    shutil.rmtree(copy)


@contextmanager
def ordinary_user(kind):
    """Where something is forbidden, the process may do inside what an ordinary user may: root may do anything."""
    root = os.geteuid() == 0 and kind == "forbidden"
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def invoke(command, *words, kind=""):
    with ordinary_user(kind):
        return CliRunner().invoke(command, list(map(str, words)))


# -- kinds of damage ---------------------------------------------------------------------------------------------------


def in_place(path, make):
    path.unlink()
    make(path)


KINDS = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "empty": lambda path: path.write_bytes(b""),
    "binary": lambda path: path.write_bytes(bytes(range(256)) * 4),
    "missing": Path.unlink,
    "a list": lambda path: path.write_text("[1, 2]\n"),
    "a number": lambda path: path.write_text("3\n"),
    "nested": lambda path: path.write_text("[" * 100_000),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "other types": lambda path: path.write_text('{"task": 1, "train": {"steps": [1]}, "scores": 3, "request": {}}\n'),
    "a folder": lambda path: in_place(path, Path.mkdir),
    "a pipe": lambda path: in_place(path, os.mkfifo),
    "a dead link": lambda path: in_place(path, lambda link: link.symlink_to("nowhere")),
    "forbidden": lambda path: path.chmod(0),
}
CASES = list(itertools.product(NAMES, KINDS))
STUDY_CASES = list(itertools.product(("plan.yaml", "audits.json", "correlations.json", "runs.csv"), KINDS))
READ_BY_COLLECT = ("config.yaml", "scores.json")
READ_BY_REPORT = ("config.yaml", "scores.json", "result.json")


def damage(path, kind):
    KINDS[kind](path)


def shown_as_damaged(name, kind):
    """Whether `nanogen runs` calls the run damaged: half a log is an ordinary log, and a record may be absent."""
    if name == "config.yaml":
        return True
    if name == "log.jsonl":
        return kind in ("a folder", "a pipe", "a dead link", "forbidden")
    return name == "run.json" and kind != "missing"


def one_line(text, named):
    assert text.strip()
    assert "\n" not in text.strip()
    assert "Traceback" not in text
    assert named in text


# -- nanogen runs ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_runs_shows_the_damaged_run_and_every_other(study, name, kind):
    damage(study / DAMAGED / name, kind)
    said = invoke(runs, study, "--json", kind=kind)
    assert said.exit_code == 0, said.exception
    found = {str(Path(run["folder"]).relative_to(study)): run for run in json.loads(said.stdout)}
    assert len(found) == 10
    healthy = [run for place, run in found.items() if place != DAMAGED]
    assert {(run["state"], run["step"], run["loss"], run["method"]) for run in healthy} == {("finished", 4, 0.5, "vae")}
    assert (found[DAMAGED]["state"] == "damaged") == shown_as_damaged(name, kind)
    if shown_as_damaged(name, kind):
        one_line(found[DAMAGED]["note"], name)
    table = invoke(runs, study, kind=kind)
    assert table.exit_code == 0, table.exception
    assert len(table.stdout.splitlines()) == 11


@pytest.mark.parametrize("name", ["log.jsonl", "run.json"])
def test_a_run_without_its_log_or_record_is_still_listed(study, name):
    (study / DAMAGED / name).unlink()
    assert len(json.loads(invoke(runs, study, "--json").stdout)) == 10


@pytest.mark.parametrize("place", [DAMAGED, "imagenet", f"{DAMAGED}/checkpoints"])
def test_a_folder_that_may_not_be_entered_is_listed_as_damaged(study, place):
    (study / place).mkdir(exist_ok=True)
    (study / place).chmod(0)
    said = invoke(runs, study, "--json", kind="forbidden")
    assert said.exit_code == 0, said.exception
    (found,) = [run for run in json.loads(said.stdout) if run["state"] == "damaged"]
    assert str(study / place).startswith(found["folder"])
    assert "permission denied" in found["note"]
    assert said.stdout.count('"finished"') == (5 if place == "imagenet" else 9)


@pytest.mark.parametrize(
    "entry",
    [
        {"step": "x", "loss": "y", "seconds": [1], "images_per_second": {}},
        {"step": 1e400, "loss": 1e400, "seconds": 1e400},
        {"step": None, "seconds": 10**30},
        {"step": True, "loss": True},
        {"step": float("nan"), "loss": float("nan"), "seconds": float("nan")},
    ],
)
def test_a_log_with_values_of_other_types_is_no_traceback(study, entry):
    (study / DAMAGED / "log.jsonl").write_text(json.dumps(entry) + "\n")
    for words in ([study], [study, "--json"]):
        said = invoke(runs, *words)
        assert (said.exit_code, said.exception) == (0, None)
        assert said.stdout.count("finished") == 9


def test_a_name_cannot_break_the_table(study):
    (study / DAMAGED).rename(study / "imagenet" / os.fsdecode(b"c\n\x1b[31m\xff"))
    said = invoke(runs, study)
    assert (said.exit_code, said.exception) == (0, None)
    assert len(said.stdout.splitlines()) == 11
    assert r"c\n\x1b[31m\udcff" in said.stdout


BOMB = "\n".join(["a0: &a0 x", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10))])


@pytest.mark.parametrize("task", ["*a9", "{name: *a9}", "{name: 3}", "[t2i]", "null"])
def test_a_configuration_that_grows_without_end_is_one_damaged_run(study, task):
    text = f"{BOMB}\ntask: {task}\nmethod: vae\nseed: 0\ntokenizer: x\ntrain: {{steps: 4}}\n"
    (study / DAMAGED / "config.yaml").write_text(text)
    said = invoke(runs, study)
    assert (said.exit_code, said.stdout.count("finished"), said.stdout.count("damaged ")) == (0, 9, 1)
    assert len(said.stdout) < 10_000


# -- nanogen bench collect ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_collect_goes_on_and_counts_what_it_left_out(study, name, kind):
    damage(study / DAMAGED / name, kind)
    said = invoke(collect, *sorted(study.glob("*/*/seed-0")), kind=kind)
    assert said.exit_code == 0, said.exception
    rows = {row["model"]: row for row in csv.DictReader(io.StringIO(said.stdout))}
    left_out = name in READ_BY_COLLECT
    for model, value in METHODS.items():
        assert float(rows[model]["presence"]) == value
        assert rows[model]["accuracy"] == ("" if left_out and model == "c" else str(value))
    if left_out:
        first, second = said.stderr.splitlines()
        one_line(first, f"{study / DAMAGED}")
        assert second == "Runs left out: 1."
    else:
        assert said.stderr == ""


def test_collect_of_damaged_runs_alone_is_one_error(study):
    places = sorted(study.glob("*/*/seed-0"))
    for place in places:
        (place / "scores.json").write_text("{")
    said = invoke(collect, *places)
    assert isinstance(said.exception, DataError)
    one_line(str(said.exception), f"None of the runs can be read. The first error: {places[0] / 'scores.json'}")


# -- nanogen bench report ----------------------------------------------------------------------------------------------


def reported(study, kind=""):
    study.chmod(0o777)
    said = invoke(report, study, "--draws", "100", kind=kind)
    assert said.exit_code == 0, said.exception
    return said, (study / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_the_page_names_a_damaged_run(study, name, kind):
    damage(study / DAMAGED / name, kind)
    said, page = reported(study, kind)
    assert all(f">{model}<" in page for model in METHODS)
    if name in READ_BY_REPORT:
        first, second = said.stderr.splitlines()
        one_line(first, f"{DAMAGED} (the table contains its earlier scores): ")
        assert second == "Runs or files left out: 1."
        assert f"<li>{DAMAGED} (the table contains its earlier scores): " in page
        assert str(study) not in page
    elif shown_as_damaged(name, kind) and name == "log.jsonl":
        one_line(said.stderr.splitlines()[0], f"{DAMAGED}/log.jsonl is damaged: ")
        assert f"<li>{DAMAGED}/log.jsonl is damaged: " in page
    else:
        assert (said.stderr, "damaged or unfinished" in page) == ("", False)


@pytest.mark.parametrize(("name", "kind"), STUDY_CASES)
def test_the_page_is_made_without_a_damaged_file_beside_the_table(study, name, kind):
    damage(study / name, kind)
    said, page = reported(study, kind)
    assert all(f">{model}<" in page for model in METHODS)
    if kind == "missing" or (name, kind) in (("plan.yaml", "other types"), ("runs.csv", "truncated")):
        return  # a missing file is nothing to say; a plan without what a page takes from it, and half a CSV file, read
    one_line(said.stderr.splitlines()[0], f"{name} is damaged: ")
    assert f"<li>{name} is damaged: " in page


def test_the_page_says_which_run_is_not_in_the_table(study):
    (study / DAMAGED / "result.json").unlink()
    rows = (study / "runs.csv").read_text().splitlines()
    (study / "runs.csv").write_text("\n".join(row for row in rows if not row.startswith("c,vae")) + "\n")
    assert f"<li>{DAMAGED} (not in the table): the run is unfinished.</li>" in reported(study)[1]


def test_a_page_about_damaged_runs_alone_is_one_error_which_says_how_to_have_it(study):
    for place in study.glob("*/*/seed-0"):
        (place / "scores.json").write_text("{")
    said = invoke(report, study)
    assert isinstance(said.exception, DataError)
    one_line(str(said.exception), "All runs in")
    assert not (study / "report.html").exists()
    assert invoke(report, study / "table.csv", "--draws", "100").exit_code == 0


@pytest.mark.parametrize(("name", "kind"), [case for case in CASES if case[0] in READ_BY_REPORT])
def test_the_tables_of_a_study_are_made_of_the_rest(study, name, kind):
    damage(study / DAMAGED / name, kind)
    for file in (study, *study.glob("*.csv"), *study.glob("*.json")):
        file.chmod(0o777)
    checked = plan.checked(PLAN)
    with ordinary_user(kind):
        list(outcome.write(checked, study, jobs(checked, study, list(METHODS))))
    rows = {row["model"]: row for row in csv.DictReader(io.StringIO((study / "table.csv").read_text()))}
    assert {model: row["accuracy"] for model, row in rows.items()} == {
        model: "" if model == "c" else str(value) for model, value in METHODS.items()
    }


# -- nanogen bench audit -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["x", [1], {}, None])
def test_an_audit_of_a_log_without_numbers_is_one_sentence(study, value):
    (study / DAMAGED / "log.jsonl").write_text(json.dumps({"step": 1, "loss": value}) + "\n")
    with pytest.raises(DataError, match=r"log\.jsonl is damaged: 'loss' of step 1 must be a number") as caught:
        audit(study / DAMAGED, study / "t2i" / "c" / "seed-0")
    one_line(str(caught.value), "loss")
