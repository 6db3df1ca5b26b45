"""A run keeps what it is, and writes over nothing."""

import json
import logging
import shutil

import pytest
import torch
import yaml
from click.testing import CliRunner
from PIL import Image

from nanogen_core import build_pipeline
from nanogen_core.errors import TrainingError
from nanogen_files import storage
from nanogen_train.checkpoint import checkpoint
from nanogen_train.cli.train import train
from nanogen_train.logging import metrics_log
from nanogen_train.trainer import record
from nanogen_train.trainer.loop import Run


def run(config, folder, **options):
    return Run(build_pipeline(config), folder, **options)


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def finished(small, tmp_path):
    folder = tmp_path / "run"
    run(small, folder).train()
    return folder


# -- what lies in the folder ------------------------------------------------------------------------------------------


def test_a_finished_run_without_its_checkpoints_is_not_written_over(small, finished):
    shutil.rmtree(finished / "checkpoints")
    before = contents(finished)
    with pytest.raises(TrainingError, match="already contains a saved pipeline .*--overwrite"):
        run(small, finished)
    assert contents(finished) == before


@pytest.mark.parametrize("name", ["config.yaml", "pipeline.json", "log.jsonl", "run.json", "backbone.safetensors"])
def test_anything_of_a_run_or_a_pipeline_is_not_written_over(small, tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(TrainingError, match=f"already contains .*{name}"):
        run(small, tmp_path)
    assert (tmp_path / name).read_text() == "mine"


def fail_at(training, step):
    """Makes a run fail as damaged data do, when it takes the step after this one."""
    before = training._one_step
    training._one_step = lambda batch: before(batch) if training.step < step else 1 / 0
    with pytest.raises(ZeroDivisionError):
        training.train()


def test_a_run_that_failed_before_its_first_step_is_replaced(small, tmp_path, caplog):
    fail_at(run(small, tmp_path), 0)
    assert (tmp_path / "failed.json").is_file()
    with caplog.at_level(logging.WARNING):
        run(small, tmp_path).train()
    assert f"Replacing the unfinished run in {tmp_path}, which logged no step." in caplog.text
    assert checkpoint.steps_in(tmp_path) == [3, 6]
    assert not (tmp_path / "failed.json").exists()


def test_a_run_with_a_logged_step_is_not_replaced(small, tmp_path):
    small["train"]["checkpoint_every"] = 0
    fail_at(run(small, tmp_path), 2)
    before = contents(tmp_path)
    with pytest.raises(TrainingError, match="already contains a run without a checkpoint"):
        run(small, tmp_path)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", ["samples/step-00000001.png", "backbone.safetensors", "checkpoints/step-00000001/x"])
def test_a_run_with_a_result_is_not_replaced(small, tmp_path, name):
    fail_at(run(small, tmp_path), 0)
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("mine")
    with pytest.raises(TrainingError, match="already contains a run"):
        run(small, tmp_path)
    assert (tmp_path / name).read_text() == "mine"


def test_a_run_at_work_without_a_step_is_not_replaced(small, tmp_path):
    from nanogen_train.trainer.run_lock import run_lock

    fail_at(run(small, tmp_path), 0)
    with run_lock(tmp_path), pytest.raises(TrainingError, match="already contains a run without a checkpoint"):
        run(small, tmp_path)


def test_a_saved_pipeline_is_not_written_over(small, tmp_path):
    build_pipeline(small).save(tmp_path)
    before = contents(tmp_path)
    with pytest.raises(TrainingError, match="already contains a saved pipeline"):
        run(small, tmp_path)
    assert contents(tmp_path) == before


def test_overwriting_moves_aside(small, finished):
    before = contents(finished)
    run(small, finished, overwrite=True).train()
    run(small, finished, overwrite=True).train()
    assert contents(finished.with_name("run.old-1")) == before
    assert checkpoint.steps_in(finished.with_name("run.old-2")) == [3, 6]
    assert checkpoint.steps_in(finished) == [3, 6]


def test_overwriting_an_empty_folder_moves_nothing(small, tmp_path):
    run(small, tmp_path / "new", overwrite=True).train()
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_a_run_at_work_is_not_moved_aside(small, finished):
    from nanogen_train.trainer.run_lock import run_lock

    with run_lock(finished), pytest.raises(TrainingError, match="cannot be moved aside"):
        run(small, finished, overwrite=True)


def test_other_files_in_the_folder_stay(small, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / ".mine.tmp").write_text("mine")
    run(small, tmp_path).train()
    for name in ("notes.txt", ".mine.tmp"):
        assert (tmp_path / name).read_text() == "mine"


# -- resuming ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", 1),
        ("image_size", 32),
        ("objective", {"name": "flow", "prediction": "x"}),
        ("optimizer", {"name": "adamw", "lr": 5e-3}),
        ("optimizer", "muon"),
        ("stage", {"name": "diffusion", "ema_decay": 0.9}),
        ("dataset", {"name": "openmoji", "train": 16, "val": 16}),
        ("guidance", {"cfg": {"scale": 3.0}}),
        ("train", {"batch_size": 4}),
        ("train", {"gradient_clip": 0.5}),
        ("train", {"precision": "bf16"}),
    ],
)
def test_a_resume_as_something_else_is_refused_before_anything_is_written(small, finished, key, value):
    before = contents(finished)
    changed = {**small, key: {**small[key], **value} if key == "train" else value}
    with pytest.raises(TrainingError, match=rf"with these changes: .*{key}.* was .* and is now .*"):
        run(changed, finished, resume=True)
    assert contents(finished) == before


def test_a_permitted_change_is_kept_as_history(small, finished):
    first = (finished / "config.yaml").read_bytes()
    small["train"].update(steps=8, log_every=1)
    run(small, finished, resume=True).train()
    assert (finished / "history" / "config-until-00000006.yaml").read_bytes() == first
    changes = storage.read_json(finished / "run.json")["changes"]
    assert changes == [{"step": 6, "changed": {"train.steps": [6, 8], "train.log_every": [2, 1]}}]
    assert yaml.safe_load((finished / "config.yaml").read_text())["train"]["steps"] == 8


def test_a_resume_without_a_change_leaves_no_history(small, finished):
    storage.remove_folder(checkpoint.path_of(finished, 6))
    run(small, finished, resume=True).train()
    assert not (finished / "history").exists()
    assert storage.read_json(finished / "run.json")["changes"] == []


def test_fewer_steps_than_are_done_are_refused_before_anything_is_written(small, finished):
    before = contents(finished)
    small["train"]["steps"] = 4
    with pytest.raises(TrainingError, match=r"has already taken 6 steps, but train.steps is 4: raise train.steps"):
        run(small, finished, resume=True)
    assert contents(finished) == before


@pytest.fixture
def folders(small, tmp_path):
    """A run on class folders: its configuration, its folder, and the data."""
    data = tmp_path / "data"
    for word in ("cat", "dog"):
        for split in ("train", "val"):
            folder = data / split / word
            folder.mkdir(parents=True)
            for number in range(4):
                Image.new("RGB", (20, 20), (number * 50, 0, 0)).save(folder / f"{number}.png")
    config = {**small, "dataset": {"name": "imagenet-folder", "root": str(data)}, "metric": {}}
    config["train"] = {**small["train"], "steps": 3}
    run(config, tmp_path / "run").train()
    config["train"]["steps"] = 6
    return config, tmp_path / "run", data


def test_renamed_and_new_classes_are_refused(folders):
    config, folder, data = folders
    (data / "train" / "cat").rename(data / "train" / "lynx")
    (data / "val" / "cat").rename(data / "val" / "lynx")
    with pytest.raises(TrainingError, match="missing: 'cat'; new: 'lynx'"):
        run(config, folder, resume=True)
    (data / "train" / "lynx").rename(data / "train" / "cat")
    (data / "val" / "lynx").rename(data / "val" / "cat")
    shutil.copytree(data / "train" / "cat", data / "train" / "ant")
    with pytest.raises(TrainingError, match="new: 'ant'"):
        run(config, folder, resume=True)


def test_other_counts_are_said(folders, caplog):
    config, folder, data = folders
    (data / "train" / "dog" / "3.png").unlink()
    with caplog.at_level(logging.WARNING):
        run(config, folder, resume=True)
    assert "has 7 examples; it had 8 when the run started" in caplog.text


def test_data_in_another_place_are_the_same_data(folders, caplog):
    config, folder, data = folders
    moved = data.with_name("moved")
    data.rename(moved)
    config["dataset"]["root"] = str(moved)
    with caplog.at_level(logging.WARNING):
        run(config, folder, resume=True)
    assert "examples" not in caplog.text


def test_another_number_of_threads_is_said(small, finished, caplog):
    small["train"]["steps"] = 8
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        with caplog.at_level(logging.WARNING):
            run(small, finished, resume=True)
    finally:
        torch.set_num_threads(threads)
    assert f"started with threads: {threads}, and continues with {threads + 1}" in caplog.text


@pytest.mark.parametrize("damage", ["{}", "[]", "{", '{"format": 1, "data": {}}', '{"format": 9}'])
def test_a_damaged_record_is_one_sentence(small, finished, damage):
    (finished / "run.json").write_text(damage)
    with pytest.raises(Exception, match=r"run.json (is not valid JSON |is corrupt: |does not have format)"):
        run(small, finished, resume=True)


def test_resume_without_a_checkpoint_yet_says_what_to_do(small, tmp_path):
    training = run(small, tmp_path)
    training._one_step = lambda batch: (_ for _ in ()).throw(ZeroDivisionError)
    with pytest.raises(ZeroDivisionError):
        training.train()
    with pytest.raises(TrainingError, match="the run has no checkpoint. Start again with --overwrite"):
        run(small, tmp_path, resume=True)


def test_the_permitted_changes_are_those_of_the_documentation():
    from pathlib import Path

    text = (Path(__file__).parents[1] / "docs" / "training.md").read_text()
    listed = text.split("<!-- permitted -->")[1].split("`")[1::2]
    assert sorted(listed) == sorted(record.PERMITTED)


# -- the log ----------------------------------------------------------------------------------------------------------


def test_a_damaged_line_is_left_out_and_the_rest_stays(small, finished, caplog):
    log = finished / "log.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    assert len(lines) == 3
    log.write_bytes(lines[0] + b"\xff" + lines[1][1:] + lines[2])
    small["train"]["steps"] = 8
    with caplog.at_level(logging.WARNING):
        run(small, finished, resume=True).train()
    assert f"Skipped line 2 of {log}: it is corrupt" in caplog.text
    assert [json.loads(line)["step"] for line in log.read_text().splitlines()] == [2, 6, 8]


# -- what is optional -------------------------------------------------------------------------------------------------


def test_a_sheet_that_fails_costs_nothing(small, tmp_path, caplog):
    small["train"].update(sample_every=3)
    training = run(small, tmp_path)

    def samples(count):
        raise KeyError("no captions")

    training.stage.samples = samples
    training.train()
    assert checkpoint.steps_in(tmp_path) == [3, 6]
    assert "The sample sheet of step 3 could not be drawn: KeyError: 'no captions'. Training continues." in caplog.text


def test_the_checkpoint_is_there_before_its_sheet(small, tmp_path):
    small["train"].update(sample_every=3)
    training = run(small, tmp_path)
    found = []
    training.stage.samples = lambda count: found.append(checkpoint.steps_in(tmp_path)) or 1 / 0
    training.train()
    assert found == [[3], [3, 6]]


def test_a_sheet_that_a_kill_cost_is_drawn_by_the_resume(small, tmp_path):
    small["train"].update(sample_every=3)
    run(small, tmp_path).train()
    sheet = tmp_path / "samples" / "step-00000003.png"
    before = sheet.read_bytes()
    sheet.unlink()
    storage.remove_folder(checkpoint.path_of(tmp_path, 6))
    run(small, tmp_path, resume=True).train()
    assert sheet.read_bytes() == before


def test_no_sheet_is_drawn_where_none_is_asked_for(small, tmp_path):
    small["train"]["sample_every"] = 0
    run(small, tmp_path).train()
    assert not (tmp_path / "samples").exists()


def test_a_progress_bar_or_a_tracker_that_fails_costs_nothing(small, tmp_path, caplog):
    def report(step, scalars):
        raise BrokenPipeError(32, "Broken pipe")

    training = run(small, tmp_path, report=report)
    training.engine.trackers.log = lambda step, scalars: 1 / 0
    training.train()
    assert [entry["step"] for entry in metrics_log.read(tmp_path)] == [2, 4, 6]
    assert "The progress of step 2 could not be shown: BrokenPipeError" in caplog.text
    assert "The trackers did not receive step 2: ZeroDivisionError" in caplog.text


def test_resume_and_overwrite_exclude_each_other(tmp_path):
    said = CliRunner().invoke(train, ["x.yaml", "--resume", "--overwrite"])
    assert said.exit_code == 2
    assert "use only one of them" in said.output


@pytest.mark.parametrize("kind", ["file", "link to nothing"])
def test_an_output_that_is_no_folder_is_refused(small, tmp_path, kind):
    place = tmp_path / "out"
    place.write_text("mine") if kind == "file" else place.symlink_to(tmp_path / "nowhere")
    with pytest.raises(TrainingError, match="out exists and is not a folder: choose another --output"):
        Run(build_pipeline(small), place)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]
