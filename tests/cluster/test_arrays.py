"""Work that a job array divides: submitted, collected, failed; `nanogen data prepare` and `evaluate` on SLURM."""

import json
import os
import traceback
from pathlib import Path
from types import SimpleNamespace

import pytest
from attrs import evolve
from click.testing import CliRunner

from nanogen_cluster import arrays
from nanogen_cluster.arrays import RECORD, ArrayWork, Call, logs_beside, refuse_submitted, run_array
from nanogen_cluster.queues import SlurmQueue
from nanogen_cluster.resources import Resources
from nanogen_core import build_pipeline
from nanogen_core.errors import NanoGenError
from nanogen_data.cli.prepare import prepare
from nanogen_eval.cli.evaluate import evaluate
from nanogen_eval.record import read_scores
from nanogen_files import yaml_files
from tests.cluster.slurm import Slurm

QUEUE = SlurmQueue(Resources(hours=1))


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    monkeypatch.setattr(arrays, "POLL", 0.2)
    return Slurm(tmp_path, monkeypatch)


@pytest.fixture
def work(tmp_path):
    parts = [Call(json.dumps, obj=number) for number in range(3)]
    return ArrayWork(
        parts=parts, last=Call(json.dumps, obj="end"), request={"a": 1}, logs=tmp_path / "x.slurm", title="t"
    )


def test_work_is_submitted_once_and_collected_by_the_same_call(tmp_path, slurm, work):
    told = []
    assert run_array(work, QUEUE, wait=False, log=told.append) == (False, None)
    with pytest.raises(NanoGenError, match="was submitted to SLURM as jobs 1000 and 1001"):
        refuse_submitted(work.logs)
    with pytest.raises(NanoGenError, match="Jobs 1000 and 1001 with other options"):
        run_array(evolve(work, request={"a": 2}), QUEUE, wait=False, log=told.append)
    assert run_array(work, QUEUE, wait=True, log=told.append) == (True, '"end"')
    assert list(slurm.scripts) == ["1000", "1001"]
    assert "#SBATCH --array=0-2%3" in slurm.scripts["1000"]
    assert "#SBATCH --dependency=afterok:1000" in slurm.scripts["1001"]
    assert [slurm.state(f"1000_{n}") for n in range(3)] == ["COMPLETED"] * 3
    assert not (work.logs / RECORD).exists()
    refuse_submitted(logs_beside(tmp_path / "x"))


def test_the_logs_of_the_current_folder_are_beside_it(tmp_path, monkeypatch):
    (tmp_path / "run" / "images").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "run" / "images")
    assert logs_beside(Path(".")) == tmp_path / "run" / "images.slurm"
    assert logs_beside(Path("..")) == tmp_path / "run.slurm"


def test_a_part_that_fails_is_named_and_the_last_job_does_not_run(slurm, work):
    broken = evolve(work, parts=[work.parts[0], Call(json.loads, s="{")])
    with pytest.raises(
        NanoGenError, match=r"Part 2 of 2 failed: Expecting property name .*\. Its log: .*1000_1_0_log.out"
    ):
        run_array(broken, QUEUE, wait=True, log=lambda line: None)
    assert slurm.runs("1001") == 0
    assert not (work.logs / RECORD).exists()  # the same command submits it again


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("the disk is full", "the disk is full."),
        ("the disk is full. Free some space.", "the disk is full. Free some space."),
        ("two mistakes:\n  train.steps: missing\nseed: missing", "two mistakes: train.steps: missing seed: missing."),
        ("", "ValueError."),
    ],
)
def test_the_message_of_a_failed_part_is_whole_and_ends_its_sentence(tmp_path, message, told):
    try:
        fail(message)
    except ValueError:
        outcome = ("error", traceback.format_exc())
    job = SimpleNamespace(paths=SimpleNamespace(result_pickle=tmp_path), _get_outcome_and_result=lambda: outcome)
    assert arrays._failure(job) == told


def fail(message):
    try:
        raise OSError("earlier")
    except OSError as error:
        raise ValueError(message) if message else ValueError from error


def test_an_evaluation_as_an_array_has_the_scores_of_one_process(tmp_path, slurm):
    pipeline = build_pipeline(
        task="imagenet",
        image_size=16,
        dataset={"name": "openmoji", "train": 32, "val": 64},
        tokenizer="openmoji-vae",
        backbone={"name": "lightning-dit", "hidden": 16, "depth": 1, "heads": 1},
        objective="flow",
        sampler={"name": "euler", "steps": 1},
        metric=["openmoji-accuracy"],
    )
    pipeline.save(tmp_path / "run")
    words = [str(tmp_path / "run"), "--count", "50", "--batch-size", "8", "--intervals", "20", "--seed", "3"]
    alone = CliRunner().invoke(evaluate, [*words, "--output", str(tmp_path / "alone")], catch_exceptions=False)
    assert alone.exit_code == 0, alone.output
    array = [*words, "--output", str(tmp_path / "array"), "--executor", "slurm", "--jobs", "2"]
    ran = CliRunner().invoke(evaluate, array, catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    assert "accuracy" in ran.stdout
    first, second = (read_scores(tmp_path / name) for name in ("alone", "array"))
    assert [(one.value, one.interval, one.fingerprint) for one in first] == [
        (one.value, one.interval, one.fingerprint) for one in second
    ]
    assert first[0].n == 50
    logs = [(tmp_path / "array.slurm" / f"1000_{n}_0_log.out").read_text() for n in range(2)]
    assert "part 1 of 2: 26 of 26" in logs[0]  # rows 0-7, 16-23, 32-39, 48-49
    assert "part 2 of 2: 24 of 24" in logs[1]
    assert not (tmp_path / "array" / ".evaluating").exists()


@pytest.mark.parametrize("option", [["--keep-images"], ["--guidance-search", "1,2"]])
def test_what_an_array_cannot_evaluate_is_refused(tmp_path, option):
    ran = CliRunner().invoke(evaluate, [str(tmp_path), *option, "--executor", "slurm", "--jobs", "2"])
    assert ran.exit_code == 2
    assert f"{option[0]} is not possible with --executor slurm" in ran.output
    several = [str(tmp_path), "--executor", "slurm", "--jobs", "2", "--gpus-per-job", "2"]
    assert "A job of `evaluate` uses one GPU" in CliRunner().invoke(evaluate, several).output
    assert (
        "--executor slurm needs --jobs" in CliRunner().invoke(evaluate, [str(tmp_path), "--executor", "slurm"]).output
    )


@pytest.mark.parametrize("words", [[prepare, "a", "b", "--config", "c"], [evaluate, "."]])
def test_gpus_per_job_are_refused_without_jobs(words):
    command, *given = words
    ran = CliRunner().invoke(command, [*given, "--gpus-per-job", "2"])
    assert ran.exit_code == 2
    assert "Only --executor slurm uses --gpus-per-job." in ran.output


def test_prepared_latents_of_an_array_have_the_bytes_of_one_process(tmp_path, slurm, monkeypatch):
    file = tmp_path / "c.yaml"
    config = {
        "task": "imagenet",
        "method": "vae",
        "image_size": 16,
        "dataset": {"name": "openmoji", "train": 24, "val": 16},
        "tokenizer": "openmoji-vae",
    }
    file.write_text(yaml_files.dump(config))
    words = ["--config", str(file), "--shard-size", "5"]
    alone = ["openmoji", str(tmp_path / "alone"), *words, "--workers", "1"]
    ran = CliRunner().invoke(prepare, alone, catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    array = ["openmoji", str(tmp_path / "array"), *words, "--executor", "slurm", "--jobs", "2"]
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: range(2))
    ran = CliRunner().invoke(prepare, [*array, "--no-wait"], catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: range(64))  # another login node collects the result
    ran = CliRunner().invoke(prepare, array, catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    assert "Prepared 24 of 24 examples in 5 shards." in ran.stdout

    def contents(name):
        return {path.name: path.read_bytes() for path in (tmp_path / name).iterdir() if path.name != ".lock"}

    assert contents("alone") == contents("array")
    assert slurm.runs("1000_0") == slurm.runs("1000_1") == slurm.runs("1001") == 1
