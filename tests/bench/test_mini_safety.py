"""An experiment writes into its own folder alone, and deletes nothing: not by names, not by another plan."""

import os
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
from click.testing import CliRunner

from nanogen_bench.cli.mini import mini
from nanogen_bench.cli.report import report
from nanogen_bench.mini import folders, outcome, plan, work
from nanogen_bench.mini.experiment import experiment
from nanogen_bench.mini.job import jobs
from nanogen_bench.mini.scheduler import Options, Scheduler
from nanogen_cluster import launcher
from nanogen_cluster.command import Command
from nanogen_cluster.queues import PYTHON, LocalQueue
from nanogen_core.errors import ConfigError, DataError, TrainingError
from nanogen_eval import progress
from nanogen_files import storage, yaml_files
from nanogen_train.trainer import failure_report

METHOD = {"summary": "a", "family": "vae"}
PLAN = {
    "tasks": ["imagenet", "t2i"],
    "seeds": [0],
    "steps": 4,
    "eval_samples": 8,
    "x": ["accuracy"],
    "y": ["presence"],
    "quick": {"steps": 2},
    "base": {
        "method": "vae",
        "image_size": 16,
        "dataset": {"name": "openmoji", "train": 32, "val": 16},
        "tokenizer": "openmoji-vae",
        "backbone": {"name": "lightning-dit", "hidden": 16, "depth": 1, "heads": 1},
    },
    "methods": {"vae": METHOD},
}
NAMES = [
    "../../../x",
    "a/b",
    "/x",
    "",
    ".",
    "..",
    ".hidden",
    "a\\b",
    "a\0b",
    "x" * 200,
    "a b",
    "a.",
    "é",
    "-x",
    "~",
    "{x}",
]


def tree(folder):
    """All that lies in a folder, with its content and time of change."""
    files = [file for file in sorted(folder.rglob("*")) if file.name != ".lock"]
    return {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in files if file.is_file()}


@pytest.fixture
def beside(tmp_path):
    """A folder of the user's that a name of `../../../x` would reach from inside of the output."""
    place = tmp_path / "x"
    place.mkdir()
    (place / "thesis.txt").write_text("mine")
    (tmp_path / "seed-0").mkdir()
    (tmp_path / "seed-0" / "thesis.txt").write_text("mine")
    return tmp_path


def run(raw, output, monkeypatch):
    """The experiment without its processes."""
    with monkeypatch.context() as patch:
        patch.setattr(Scheduler, "run", lambda self, todo: None)
        return experiment(raw, output, only=(), queue=LocalQueue(), options=Options(), log=print)


# -- names -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("where", ["methods", "prepared", "tasks", "statistics"])
def test_a_name_that_is_no_folder_is_refused_before_any_path_is_made(beside, monkeypatch, name, where):
    prepared = {"summary": "b", "task": "imagenet", "steps": 1}
    changes = {
        "methods": {"methods": {"vae": METHOD, name: METHOD}},
        "prepared": {"prepared": {name: prepared}},
        "tasks": {"tasks": ["imagenet", name]},
        "statistics": {"prepared": {"decoder": {**prepared, "statistics": name}}},
    }
    before = tree(beside)
    sentence = "contains a NUL character" if "\0" in name else r"is not a valid folder name\. Use letters"
    place = "prepared" if where == "statistics" and "\0" in name else where  # the whole mapping is refused
    with pytest.raises(ConfigError, match=rf"(?s)plan\.\S*{place}.*{sentence}"):
        run({**PLAN, **changes[where]}, beside / "a" / "b" / "out", monkeypatch)
    assert tree(beside) == before
    assert not (beside / "a").exists()


@pytest.mark.parametrize("task", ["prepared", "logs"])
def test_a_task_that_is_called_like_another_folder_is_refused(task):
    with pytest.raises(ConfigError, match="is reserved for another folder"):
        plan.checked({**PLAN, "tasks": ["imagenet", task]})


@pytest.mark.parametrize("name", ["vae", "DiT-XL", "rae+reg", "v1.5", "7b", "a_b"])
def test_ordinary_names_are_taken(name):
    assert plan.checked({**PLAN, "methods": {name: METHOD}}).methods.keys() == {name}


def test_the_command_says_it(beside):
    (beside / "plan.yaml").write_text(yaml_files.dump({**PLAN, "methods": {"../../../x": METHOD}}))
    before = tree(beside)
    words = ["--plan", str(beside / "plan.yaml"), "--output", str(beside / "a" / "b" / "out")]
    ran = CliRunner().invoke(mini, words)
    assert isinstance(ran.exception, ConfigError)
    assert "'../../../x' is not a valid folder name" in str(ran.exception)
    assert tree(beside) == before


# -- another plan ------------------------------------------------------------------------------------------------------


@pytest.fixture
def finished(tmp_path, monkeypatch):
    """The folder of an experiment whose runs are finished, with something of the user's in every folder of it."""
    output = tmp_path / "out"
    run(PLAN, output, monkeypatch)
    for job in jobs(plan.checked(PLAN), output, ["vae"]):
        folders.claim(job.folder, job.training)
        folders.write_result(job.folder, {"request": job.request, "scores": {"accuracy": 0.5}})
        (job.folder / "scores.json").write_text("{}")
        (job.folder / "notes.txt").write_text("mine")
    (output / "notes.txt").write_text("mine")
    return output


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"steps": 2}, "imagenet vae seed 0 differs in this plan"),
        ({"eval_samples": 16}, "differs in this plan"),
        ({"base": {**PLAN["base"], "image_size": 32}}, "differs in this plan"),
        ({"methods": {"other": METHOD}}, "imagenet vae seed 0 is not in this plan"),
        ({"seeds": [1]}, "imagenet vae seed 0 is not in this plan"),
    ],
)
def test_a_folder_of_another_plan_is_refused_and_stays_as_it_is(finished, monkeypatch, changes, sentence):
    before = tree(finished)
    with pytest.raises(TrainingError, match=rf"contains runs of another plan: .*{sentence}.*another --output"):
        run({**PLAN, **changes}, finished, monkeypatch)
    assert tree(finished) == before


def test_quick_in_the_same_folder_is_refused_and_deletes_nothing(finished, tmp_path):
    (tmp_path / "plan.yaml").write_text(yaml_files.dump(PLAN))
    before = tree(finished)
    ran = CliRunner().invoke(mini, ["--plan", str(tmp_path / "plan.yaml"), "--output", str(finished), "--quick"])
    assert isinstance(ran.exception, TrainingError)
    assert "another plan" in str(ran.exception)
    assert tree(finished) == before


def test_a_plan_that_grew_goes_on(finished, monkeypatch):
    kept = {name: value for name, value in tree(finished).items() if name.name != "plan.yaml"}
    run({**PLAN, "methods": {"vae": METHOD, "more": METHOD}, "seeds": [0, 1]}, finished, monkeypatch)
    assert kept.items() <= tree(finished).items()


def test_the_same_plan_finds_its_runs_finished_wherever_its_folder_lies(finished, tmp_path, monkeypatch):
    shutil.move(finished, tmp_path / "elsewhere")
    assert run(PLAN, tmp_path / "elsewhere", monkeypatch) == []


@pytest.mark.parametrize("content", ["{", "[]", "steps: x"])
def test_a_damaged_plan_is_named(finished, monkeypatch, content):
    (finished / "plan.yaml").write_text(content)
    with pytest.raises(TrainingError, match=r"plan\.yaml cannot be read .*choose another --output"):
        run(PLAN, finished, monkeypatch)


def test_a_folder_with_something_else_is_refused(tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    with pytest.raises(TrainingError, match=r"is not an experiment folder: it contains thesis\.txt, but no plan\.yaml"):
        run(PLAN, tmp_path / "out", monkeypatch)
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["thesis.txt"]


# -- one run -----------------------------------------------------------------------------------------------------------


def test_a_run_claims_an_empty_folder_or_its_own(tmp_path):
    folders.claim(tmp_path / "run", {"steps": 1})
    before = tree(tmp_path)
    folders.claim(tmp_path / "run", {"steps": 1})
    assert tree(tmp_path) == before
    with pytest.raises(TrainingError, match="contains a run of another configuration: move it away"):
        folders.claim(tmp_path / "run", {"steps": 2})
    assert tree(tmp_path) == before


def test_a_run_claims_no_folder_with_something_in_it(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(TrainingError, match=r"is not empty \(it contains thesis\.txt\)"):
        folders.claim(tmp_path, {"steps": 1})
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_a_failure_before_is_no_obstacle(tmp_path):
    storage.write_json(tmp_path / "failure.json", {"error": "It needs another."})
    folders.claim(tmp_path, {"steps": 1})
    assert storage.read_json(tmp_path / "started.json") == {"steps": 1}


def test_the_checkpoints_of_a_finished_run_go_and_a_file_of_the_users_stays(tmp_path):
    import torch

    from nanogen_train.checkpoint import checkpoint

    for step in (1, 2):
        checkpoint.save(tmp_path, step, {"nets": {"a": torch.zeros(1)}}, {})
    (checkpoint.path_of(tmp_path, 1) / "mine.txt").write_text("mine")
    (tmp_path / "checkpoints" / "mine.txt").write_text("mine")
    checkpoint.remove_all(tmp_path)
    assert checkpoint.steps_in(tmp_path) == [1]
    assert sorted(path.name for path in tmp_path.rglob("mine.txt")) == ["mine.txt", "mine.txt"]
    (checkpoint.path_of(tmp_path, 1) / "mine.txt").unlink()
    (tmp_path / "checkpoints" / "mine.txt").unlink()
    checkpoint.remove_all(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["", "{", "[]", "3", "{}", "SCORES"])
def test_a_damaged_result_is_left_as_it_is_and_the_rest_goes_on(finished, monkeypatch, content):
    """No run of a finished experiment is trained again because a byte of its result is lost."""
    first, second = jobs(plan.checked(PLAN), finished, ["vae"])
    whole = storage.read_json(first.folder / "result.json")
    if content == "SCORES":
        folders.write_result(first.folder, {"request": whole["request"], "scores": {"accuracy": "high"}})
    else:
        (first.folder / "result.json").write_text(content)
    before, told = tree(finished), []
    monkeypatch.setattr(LocalQueue, "submit", lambda self, command, logs, **options: pytest.fail(f"{logs} was started"))
    Scheduler(finished, LocalQueue(), Options(), told.append).run([first, second])
    assert f"{first.title} is skipped:" in told[0]
    assert "result.json is damaged" in told[0]
    assert (first.result, second.result is None) == (None, False)
    assert first.error
    assert tree(finished) == before


def test_a_result_with_one_changed_digit_or_without_its_hash_is_refused(tmp_path):
    """A score that somebody, or a bad disk, changed is no score."""
    result = {"request": {"steps": [1, 2], "rate": 1e-3}, "scores": {"accuracy": 0.5}, "name": "\u00e9"}
    folders.write_result(tmp_path, result)
    file = tmp_path / "result.json"
    assert folders.read_result(file) == result
    text = file.read_text()
    canonical = '{"name": "\\u00e9", "request": {"rate": 0.001, "steps": [1, 2]}, "scores": {"accuracy": 0.5}}'
    assert sha256(canonical.encode()).hexdigest() in text
    changed = [text.replace("0.5", "0.6"), text.replace('"steps"', '"stepz"'), text.replace("sha256", "md5")]
    for damaged in changed:
        file.write_text(damaged)
        with pytest.raises(
            DataError, match=r"result\.json is damaged: its hash \(sha256\) (does not match|is missing)\. Move .* away"
        ):
            folders.finished_result(tmp_path, result["request"])


def test_a_sealed_file_that_is_no_result_is_called_so(tmp_path):
    folders.write_result(tmp_path, {"scores": {"accuracy": 0.5}})
    with pytest.raises(DataError, match=r"result\.json is not the result of a run: it has no `request`\. Move .* away"):
        folders.read_result(tmp_path / "result.json")


def test_every_flipped_bit_of_a_result_is_found(tmp_path):
    folders.write_result(tmp_path, {"request": {"steps": 1}, "scores": {"accuracy": 0.5}})
    file = tmp_path / "result.json"
    whole = file.read_bytes()
    for place in range(len(whole)):
        if chr(whole[place]).isspace():
            continue  # one that stays blank changes nothing
        for bit in range(8):
            data = bytearray(whole)
            data[place] ^= 1 << bit
            with file.open("r+b") as opened:  # in place: ext4 takes milliseconds to truncate and write a file
                opened.write(data)
            with pytest.raises(DataError):
                folders.finished_result(tmp_path, {"steps": 1})


def test_damaged_scores_are_said_and_the_tables_are_made_of_the_rest(finished):
    """Here no run has a configuration or scores that could be read."""
    todo = jobs(plan.checked(PLAN), finished, ["vae"])
    lines = list(outcome.write(plan.checked(PLAN), finished, todo))
    assert [line.partition(": ")[0] for line in lines[:2]] == [f"{job.title} is left out" for job in todo]
    assert lines[-1] == "No run is finished: no tables are written."


# -- the processes -----------------------------------------------------------------------------------------------------


STRAY = "open({!r}, 'a').write(__name__ + ' ')\n"


STRAYS = ("filelock", "attrs", "yaml", "runpy", "nanogen_core", "torch", "safetensors")


def test_a_stray_module_in_the_current_folder_is_not_run(tmp_path):
    mark = tmp_path / "ran"
    for name in STRAYS:
        (tmp_path / f"{name}.py").write_text(STRAY.format(str(mark)))
    subprocess.run([sys.executable, "-m", "nanogen_core", "--version"], cwd=tmp_path, capture_output=True, check=False)
    assert mark.exists()  # or this test could not fail
    mark.unlink()
    command = [sys.executable, launcher.__file__, "nanogen_core", "--version"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "version" in ran.stdout, ran.stderr
    assert not mark.exists()


def test_jobs_are_started_that_way(tmp_path):
    (job, _) = jobs(plan.checked(PLAN), tmp_path, ["vae"])
    words = Scheduler(tmp_path, LocalQueue(), Options(), print).command(job).words
    assert words[:4] == [sys.executable, "-u", launcher.__file__, "nanogen_bench.mini.work"]
    assert f"{sys.executable} -u {launcher.__file__}" == PYTHON  # starts submitit in the job


def test_the_commands_of_jobs_start_their_own_processes_that_way(tmp_path, monkeypatch):
    started = []
    monkeypatch.setattr(subprocess, "Popen", lambda words, **options: started.append(options))
    Command(["true"], cwd=tmp_path, environment={"HOME": None})._start(10)
    assert started[0]["env"]["PYTHONSAFEPATH"] == "1"
    assert "HOME" not in started[0]["env"]


def test_what_the_launcher_starts_sees_its_own_arguments(tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "shown.py").write_text("import sys; print(__name__, sys.argv[1:], sys.path[0] == '')")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path / 'home'}"}
    command = [sys.executable, launcher.__file__, "-u", "-m", "shown", "a", "b c"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment, check=True)
    assert ran.stdout.strip() == "__main__ ['a', 'b c'] False"
    assert Path(launcher.__file__).parent.name == "nanogen_cluster"


# -- what the program did not write ------------------------------------------------------------------------------------


def test_a_plan_with_comments_in_the_output_folder_stays_as_it_was_written(tmp_path, monkeypatch):
    file = tmp_path / "plan.yaml"
    text = f"# my own plan\n{yaml_files.dump(PLAN)}"
    file.write_text(text)
    run(plan.read(file), tmp_path, monkeypatch)
    assert file.read_text() == text
    with pytest.raises(TrainingError, match=r"plan\.yaml differs from this plan, and seems to be edited by hand"):
        run(plan.read(file, quick=True), tmp_path, monkeypatch)
    assert file.read_text() == text


def test_only_the_files_of_a_finished_pass_go(tmp_path):
    folder = tmp_path / ".evaluating" / "0123456789abcdef"
    folder.mkdir(parents=True)
    for name in ("process-00000.safetensors", "result.json", "thesis.txt"):
        (folder / name).write_text("x")
    progress.clear(folder)
    assert [path.name for path in folder.iterdir()] == ["thesis.txt"]
    (folder / "thesis.txt").unlink()
    progress.clear(folder)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["../thesis.txt", "a/../../thesis.txt", "{}/thesis.txt"])
def test_a_name_in_a_list_of_files_deletes_nothing_outside_of_its_folder(tmp_path, name):
    (tmp_path / "thesis.txt").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "own.txt").write_text("x")
    with pytest.raises(DataError, match="leads outside of"):
        storage.remove_files(tmp_path / "folder", ["own.txt", name.format(tmp_path)])
    assert sorted(path.name for path in tmp_path.rglob("*.txt")) == ["own.txt", "thesis.txt"]


def test_the_page_of_a_table_replaces_no_other_page(tmp_path):
    (tmp_path / "scores.csv").write_text("model,fid,geneval\na,1,0.1\nb,2,0.2\n")
    (tmp_path / "scores.html").write_text("mine")
    ran = CliRunner().invoke(report, [str(tmp_path / "scores.csv")])
    assert isinstance(ran.exception, DataError)
    assert "scores.html exists, and is not a file that `nanogen bench report` wrote" in str(ran.exception)
    assert (tmp_path / "scores.html").read_text() == "mine"
    (tmp_path / "scores.html").unlink()
    for _ in range(2):  # its own page is made again
        assert CliRunner().invoke(report, [str(tmp_path / "scores.csv"), "--draws", "100"]).exit_code == 0


@pytest.mark.parametrize("content", ["mine", "[]", '{"thesis": 1}'])
def test_a_file_of_the_users_that_is_called_like_a_note_of_a_failure_stays(tmp_path, monkeypatch, content):
    (tmp_path / failure_report.FILE).write_text(content)
    with failure_report.report_failure(tmp_path, lambda: 1, ignored=KeyError):
        pass
    with pytest.raises(ValueError, match="x"), failure_report.report_failure(tmp_path, lambda: 1, ignored=KeyError):
        raise ValueError("x")
    assert (tmp_path / failure_report.FILE).read_text() == content
    (job, _) = jobs(plan.checked(PLAN), tmp_path / "out", ["vae"])
    job.folder.mkdir(parents=True)
    (job.folder / "failure.json").write_text(content)
    monkeypatch.setattr(work, "work", lambda job: {})
    assert work.attempt(job) == 0
    assert (job.folder / "failure.json").read_text() == content
    storage.write_json(job.folder / "failure.json", {"error": "It needs another."})
    work.attempt(job)
    assert not (job.folder / "failure.json").exists()
