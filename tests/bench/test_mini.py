"""The experiment in small: its plan, its questions, its processes, and one so tiny that it ends in a minute."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
from attrs import evolve

from nanogen_bench.mini import folders, outcome, plan
from nanogen_bench.mini.experiment import experiment, resolved
from nanogen_bench.mini.job import every_job, jobs
from nanogen_bench.mini.scheduler import Options, Scheduler, Slots
from nanogen_bench.mini.work import find
from nanogen_cluster.queues import LocalQueue, Submission
from nanogen_core.config import resolve
from nanogen_core.errors import ConfigError, ConfigWarning, NanoGenError, UnknownName
from nanogen_core.registry import registry
from nanogen_files import yaml_files
from nanogen_files.config_diff import differences
from nanogen_files.folder_lock import holder_of
from tests.bench.finished_runs import write_finished

MAY_DIFFER = ("task.", "conditioner.", "encoder.", "metric.", "guidance.cfg.scale")
RAE = {"name": "rae", "encoder": "openmoji-classifier", "decoder": {"size": "tiny"}}
TINY = {
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
        "sampler": {"steps": 1},
        "schedule": {"name": "constant-linear"},
        "train": {"batch_size": 8, "precision": "fp32", "log_every": 1, "sample_count": 1, "sample_every": 0},
    },
    "prepared": {
        "decoder": {
            "summary": "a decoder",
            "task": "imagenet",
            "steps": 1,
            "statistics": "statistics.safetensors",
            "config": {
                "method": "rae",
                "image_size": 64,
                "tokenizer": RAE,
                "stage": {"name": "rae-decoder", "discriminator": "none", "perceptual": "encoder"},
            },
        }
    },
    "methods": {
        "vae": {"summary": "a", "family": "vae"},
        "rae": {
            "summary": "b",
            "family": "rae",
            "config": {"method": "rae", "image_size": 64, "tokenizer": {**RAE, "statistics": "{decoder}/statistics"}},
        },
    },
}


def tiny(**changes):
    return {**TINY, **changes}


# -- the plan --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("quick", [False, True])
def test_every_run_of_the_shipped_plan_resolves(tmp_path, quick):
    shipped = plan.checked(plan.read(plan.find("mini"), quick=quick))
    assert len(shipped.methods) >= 8
    assert len(shipped.seeds) >= 2
    todo = jobs(shipped, tmp_path, list(shipped.methods))
    assert len(todo) == len(shipped.methods) * 2 * len(shipped.seeds) + len(shipped.prepared)
    for job in todo:
        config = resolve(job.config)
        assert config.seed == job.seed
        if job.eval_samples:
            assert config.sections["train"].steps == shipped.steps  # equal for all


def test_several_mistakes_of_a_run_are_lines_after_its_name(tmp_path):
    shipped = plan.checked(plan.read(plan.find("mini")))
    job = jobs(shipped, tmp_path, list(shipped.methods)[:1])[0]
    job = evolve(job, config={**job.config, "backbone": "nowhere", "objective": "nothing"})
    with pytest.raises(NanoGenError) as caught:
        resolved(job)
    first, *mistakes = str(caught.value).splitlines()
    assert first.startswith(f"{job.title}: ")
    assert [line[:4] for line in mistakes] == ["  - ", "  - "]


def test_the_two_runs_of_a_method_differ_in_what_follows_from_the_task_alone(tmp_path):
    shipped = plan.checked(plan.read(plan.find("mini")))
    for name in shipped.methods:
        first, second = (job for job in jobs(shipped, tmp_path, [name]) if job.eval_samples and job.seed == 0)
        found = differences(resolve(first.config).as_dict(), resolve(second.config).as_dict())
        assert not [line.key for line in found if not line.key.startswith(MAY_DIFFER)]


def test_a_need_is_prepared_first_and_once(tmp_path):
    todo = jobs(plan.checked(TINY), tmp_path, ["vae", "rae"])
    assert [job.name for job in todo] == ["decoder", "vae", "vae", "rae", "rae"]
    place = str(tmp_path / "prepared" / "decoder" / "statistics")
    assert {job.config["tokenizer"]["statistics"] for job in todo if job.name == "rae"} == {place}
    assert [job.name for job in jobs(plan.checked(TINY), tmp_path, ["vae"])] == ["vae", "vae"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"prepared": {}}, r"plan.methods.rae: there is no prepared run 'decoder'. Prepared runs: none"),
        ({"tasks": ["imagenet"]}, "plan.tasks"),
        ({"steps": 0}, "plan.steps"),
        ({"eval_samples": 1}, "plan.eval_samples"),
        ({"methods": {}}, "plan.methods"),
        ({"stepz": 1}, "stepz.*Did you mean 'steps'"),
        ({"seeds": []}, "plan.seeds"),
    ],
)
def test_a_wrong_plan_is_a_sentence(changes, sentence):
    with pytest.raises(ConfigError, match=sentence):
        plan.checked(tiny(**changes))


def test_the_plan_of_the_document_resolves(tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "howto" / "cluster.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"```yaml title=\"study.yaml\"\n(.*?)```", page, re.S)
    file = tmp_path / "study.yaml"
    file.write_text(text, encoding="utf-8")
    for quick, steps in ((False, 400), (True, 100)):
        todo = jobs(plan.checked(plan.read(plan.find(str(file)), quick=quick)), tmp_path, ["small", "deep"])
        assert len(todo) == 8  # two methods, tasks and seeds
        first, second = (resolve(next(job for job in todo if job.name == name).config) for name in ("small", "deep"))
        assert first.sections["train"].steps == steps
        found = [line.key for line in differences(first.as_dict(), second.as_dict())]
        assert found == ["backbone.depth"]
    named = set(re.findall(r"--only (\S+)", page)) - {"METHOD`"}
    assert named <= set(plan.read(plan.find("mini"))["methods"])


def test_an_unknown_plan_or_method_is_a_sentence(tmp_path):
    with pytest.raises(ConfigError, match="Did you mean 'mini'"):
        plan.find("mimi")
    with pytest.raises(UnknownName, match="'rae'"):
        plan.checked(TINY).chosen(("rea",))
    assert "mini" in registry().plans


def test_a_wrong_configuration_is_found_before_anything_starts(tmp_path):
    methods = {"bad": {"summary": "c", "family": "c", "config": {"backbone": {"hidden": "wide"}}}}
    with pytest.raises(ConfigError, match="imagenet bad seed 0: .*backbone.hidden"):
        experiment(tiny(methods=methods), tmp_path / "out", only=(), queue=LocalQueue(), options=Options(), log=print)
    assert not (tmp_path / "out").exists()


def test_quick_lies_over_the_plan(tmp_path):
    file = tmp_path / "plan.yaml"
    file.write_text(yaml_files.dump(TINY))
    assert plan.read(file)["steps"] == 4
    assert plan.read(file, quick=True)["steps"] == 2


# -- questions and answers -------------------------------------------------------------------------------------------


def test_a_result_counts_while_the_question_is_the_same(tmp_path):
    job = jobs(plan.checked(TINY), tmp_path, ["rae"])[1]
    folders.write_result(job.folder, {"request": job.request, "scores": {}})
    assert job.result
    longer = {"decoder": {**TINY["prepared"]["decoder"], "steps": 2}}
    others = [
        {"eval_samples": 16},
        {"steps": 5},
        {"base": {**TINY["base"], "sampler": {"steps": 2}}},
        {"prepared": longer},
    ]
    for changes in others:
        assert jobs(plan.checked(tiny(**changes)), tmp_path, ["rae"])[1].result is None


class Ended:
    """A queue whose jobs end at once, with nothing to show."""

    begun, poll_s, has_dependencies = "submitted", 0.0, False

    def __init__(self):
        self.titles, self.job_id = [], "9"
        self.paths = self
        self.stdout = "9.out"

    def submit(self, command, logs, *, title, attempt=1, after=()):
        self.titles.append(title)
        return Submission(self, attempt)

    def submitted(self, logs):
        return None

    def forget(self, logs):
        pass

    def close(self):
        pass

    def done(self):
        return True


@pytest.mark.parametrize("retries", [0, 2])
def test_a_run_whose_need_failed_is_one_that_failed(tmp_path, monkeypatch, retries):
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    told, queue = [], Ended()
    todo = jobs(plan.checked(TINY), tmp_path, ["rae"])
    Scheduler(tmp_path, queue, Options(slots=Slots(count=2), retries=retries), told.append).run(todo)
    assert told[:2] == ["0 of 3 runs are already finished.", "imagenet decoder: submitted as job 9 (log: 9.out)"]
    assert todo[0].error == "It ended without a result: job 9 (log: 9.out). Read the log."
    assert todo[1].error == "This run needs imagenet decoder, which failed. Resolve that error first."
    assert queue.titles == ["nanogen imagenet decoder"] * (1 + retries)
    assert len(told) == 5 + 2 * retries


def test_a_run_of_a_perturbation_is_found_by_its_folder(tmp_path):
    changed = tiny(perturbations={"slow": {"optimizer": {"lr": 1e-4}}})
    (tmp_path / "plan.yaml").write_text(yaml_files.dump(changed))
    todo = jobs(plan.checked(changed), tmp_path, ["vae"])
    assert [find(tmp_path, str(job.folder.relative_to(tmp_path))).title for job in todo] == [job.title for job in todo]
    assert len({job.title for job in todo}) == 4


def test_only_the_chosen_methods_are_noted(tmp_path):
    """A study with finished runs compares the requests of all methods, and notes only those that it runs."""
    noisy = {"summary": "c", "family": "vae", "config": {"backbone": "dit"}}  # drops options of the base's backbone
    changed = tiny(methods={"vae": TINY["methods"]["vae"], "noisy": noisy}, prepared={})
    for only, noted in (("vae", False), ("noisy", True)):
        output = tmp_path / only
        for job in every_job(plan.checked(changed), output):
            write_finished(job, 0.5)
        (output / "plan.yaml").write_text(yaml_files.dump(changed))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            experiment(changed, output, only=(only,), queue=LocalQueue(), options=Options(), log=lambda line: None)
        notes = [str(one.message) for one in caught if issubclass(one.category, ConfigWarning)]
        assert bool(notes) is noted, notes
        assert all("'dit'" in note for note in notes)


def test_the_gpus_of_this_machine_are_divided_among_the_slots(tmp_path):
    slots = Slots(count=2, gpus=("4", "5", "6", "7"), processes=2, threads=3)
    scheduler = Scheduler(tmp_path, LocalQueue(), Options(slots=slots), print)
    job = jobs(plan.checked(TINY), tmp_path, ["vae"])[0]
    commands = [scheduler.command(job, slot) for slot in (0, 1)]
    assert [one.environment["CUDA_VISIBLE_DEVICES"] for one in commands] == ["4,5", "6,7"]
    assert commands[0].environment["OMP_NUM_THREADS"] == "3"
    assert "torch.distributed.run" in commands[0].words
    assert commands[0].words[-2:] == [str(tmp_path), "imagenet/vae/seed-0"]


def test_the_documented_length_of_the_quick_plan_is_that_of_the_plan():
    full, quick = (plan.checked(plan.read(plan.find("mini"), quick=short)) for short in (False, True))
    text = " ".join(Path("docs/howto/cluster.md").read_text(encoding="utf-8").split())
    assert f"for {quick.steps} instead of {full.steps} steps" in text
    assert f"{quick.eval_samples} instead of {full.eval_samples} images per score" in text
    trainings = [len(one.methods) * len(one.seeds) * one.steps for one in (quick, full)]
    assert f"{trainings[0] / trainings[1]:g} times the steps of the full plan" in text


# -- from end to end -------------------------------------------------------------------------------------------------


def start(folder):
    """The command in a folder with stray modules, which none of its processes may run."""
    for name in ("filelock", "torch", "yaml"):
        (folder / f"{name}.py").write_text(f"open({str(folder / 'ran')!r}, 'a').write('{name} ')")
    words = ["bench", "mini", "--plan", str(folder / "tiny.yaml"), "--output", str(folder / "out"), "--slots", "2"]
    places = os.pathsep.join(filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": places}
    command = [str(Path(sys.executable).with_name("nanogen")), *words]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, cwd=folder)


def seen(folder, pattern, seconds=600):
    """Waits until a file is there that has something in it."""
    until = time.monotonic() + seconds
    while not any(file.stat().st_size for file in folder.glob(pattern)):
        assert time.monotonic() < until, f"no {pattern} in {folder}"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """An experiment of one good method and one that breaks in training, killed in the middle and gone on with."""
    folder = tmp_path_factory.mktemp("mini")
    broken = {"optimizer": {"name": "muon", "hidden": "nothing-is-called-so"}}  # known when it is built
    methods = {"vae": TINY["methods"]["vae"], "broken": {"summary": "c", "family": "vae", "config": broken}}
    (folder / "tiny.yaml").write_text(yaml_files.dump(tiny(methods=methods, prepared={})))
    first = start(folder)
    seen(folder, "out/*/vae/seed-0/result.json")
    first.kill()  # SIGKILL
    first.communicate()
    kept = {file: file.stat().st_mtime_ns for file in folder.glob("out/*/*/*/result.json")}
    second = start(folder)
    told = second.communicate(timeout=600)[1]
    return folder / "out", kept, second.returncode, told


def test_a_killed_experiment_goes_on_and_repeats_nothing(finished):
    output, kept, code, told = finished
    assert kept
    assert all(file.stat().st_mtime_ns == before for file, before in kept.items())
    assert code == 1  # a method failed
    assert "0 of 4 runs are already finished" not in told
    for task in ("imagenet", "t2i"):
        log = (output / task / "vae" / "seed-0" / "log.jsonl").read_text().splitlines()
        assert [json.loads(line)["step"] for line in log] == [1, 2, 3, 4]


def test_no_process_of_an_experiment_runs_a_module_of_the_current_folder(finished):
    assert not (finished[0].parent / "ran").exists()


def test_a_method_that_fails_is_said_and_the_rest_goes_on(finished):
    output, _, _, told = finished
    assert "imagenet broken seed 0: failed: Muon has no parameters" in told
    assert json.loads((output / "t2i" / "broken" / "seed-0" / "failure.json").read_text())["error"]


def test_the_tables_of_an_experiment(finished):
    output = finished[0]
    runs = list(csv.DictReader((output / "runs.csv").open()))
    assert [(row["model"], row["task"], row["seed"], row["steps"]) for row in runs] == [
        ("vae", "imagenet", "0", "4"),
        ("vae", "t2i", "0", "4"),
    ]
    (row,) = csv.DictReader((output / "table.csv").open())
    assert (row["model"], row["family"], row["n"]) == ("vae", "vae", "8")
    assert 0 <= float(row["accuracy"]) <= 1
    assert 0 <= float(row["presence"]) <= 1
    (audited,) = json.loads((output / "audits.json").read_text())["vae"]
    assert audited["tasks"] == ["imagenet", "t2i"]
    assert json.loads((output / "correlations.json").read_text()) == {}
    assert "correlation needs at least 4" in finished[3]


def test_correlations_over_enough_models(finished, tmp_path):
    """The runs of the one model as those of five, with scores that rank them: 0.1, 0.2 ... on both tasks."""
    import shutil

    output = finished[0]
    names = ["a", "b", "c", "d", "e"]
    many = plan.checked(tiny(methods=dict.fromkeys(names, TINY["methods"]["vae"]), prepared={}))
    todo = jobs(many, tmp_path, names)
    for job in todo:
        shutil.copytree(output / job.task / "vae" / "seed-0", job.folder)
        _rescore(job, (names.index(job.name) + 1) / 10)
    told = list(outcome.write(many, tmp_path, todo))
    (pair,) = json.loads((tmp_path / "correlations.json").read_text())["accuracy"]["pairs"]
    assert pair["n"] == 5
    assert pair["pearson"] == pytest.approx(1)
    assert told[0].startswith("By accuracy (higher is better; means over 1 seed): e 0.500, d 0.400")


def _rescore(job, value):
    from nanogen_eval.record import read_scores, write_scores

    scores = [evolve(score, value=value, values=(value,)) for score in read_scores(job.folder)]
    (job.folder / "scores.json").unlink()
    write_scores(job.folder, scores)
    result = folders.read_result(job.folder / "result.json")
    folders.write_result(job.folder, {**result, "request": job.request})


def test_a_stopped_experiment_leaves_checkpoints_and_no_process(tmp_path):
    base = {**TINY["base"], "train": {**TINY["base"]["train"], "batch_size": 2}}
    methods = {"vae": TINY["methods"]["vae"]}
    raw = tiny(methods=methods, prepared={}, steps=20_000, base=base)
    (tmp_path / "tiny.yaml").write_text(yaml_files.dump(raw))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "plan.yaml").write_text(yaml_files.dump({**plan.read(tmp_path / "tiny.yaml")}))
    write_finished(jobs(plan.checked(plan.read(tmp_path / "tiny.yaml")), tmp_path / "out", ["vae"])[1], 0.5)
    process = start(tmp_path)
    seen(tmp_path, "out/imagenet/vae/seed-0/log.jsonl")
    process.send_signal(signal.SIGINT)
    told = process.communicate(timeout=600)[1]
    assert process.returncode == 130
    assert "the same command resumes" in told
    assert list((tmp_path / "out" / "imagenet" / "vae" / "seed-0" / "checkpoints").glob("step-*"))
    assert holder_of(tmp_path / "out" / "imagenet" / "vae" / ".seed-0.lock") is None  # its process has ended


@pytest.mark.parametrize("section", ["null", "5", "[1]"])
def test_quick_that_is_not_a_mapping_is_refused(tmp_path, section):
    file = tmp_path / "plan.yaml"
    file.write_text(f"quick: {section}\n")
    for quick in (False, True):
        with pytest.raises(ConfigError, match=r"plan\.yaml: `quick` must be a mapping"):
            plan.read(file, quick=quick)
