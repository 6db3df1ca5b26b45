"""`--plan perturb`: retrainings with changed settings, and the spread of their correlations."""

import json
import random
import statistics

import pytest
from scipy import stats

from nanogen_bench.collected.entries import entry
from nanogen_bench.mini import plan
from nanogen_bench.mini.experiment import experiment
from nanogen_bench.mini.job import jobs
from nanogen_bench.mini.scheduler import Options
from nanogen_cluster.queues import LocalQueue
from nanogen_core.config import resolve
from nanogen_core.errors import ConfigError
from nanogen_files import storage, yaml_files
from tests.bench.finished_runs import write_finished
from tests.bench.test_mini import TINY

METHODS = {
    f"width-{width}": {
        "summary": "a",
        "family": "vae",
        "config": {"backbone": {"hidden": width, "heads": 1}, "optimizer": {"name": "adamw", "lr": 0.003 * width}},
    }
    for width in (8, 12, 16, 24)
}
QUIET = {"queue": LocalQueue(), "options": Options(), "log": lambda line: None}
TWO = {
    **{key: value for key, value in TINY.items() if key not in ("prepared", "quick")},
    "methods": METHODS,
    "seeds": [0, 1],
    "steps": 2,
    "perturbations": {"lr-half": {"optimizer": {"lr": 0.0005}}, "batch-half": {"train": {"batch_size": 4}}},
}


@pytest.mark.parametrize("quick", [False, True])
def test_the_shipped_plan_resolves_and_changes_only_what_it_names(tmp_path, quick):
    shipped = plan.checked(plan.read(plan.find("perturb"), quick=quick))
    found = jobs(shipped, tmp_path, list(shipped.methods))
    assert len({job.folder for job in found}) == len(found)
    by_key = {(job.name, job.task, job.seed, job.perturbation): resolve(job.config).as_dict() for job in found}
    for (name, task, seed, perturbation), config in by_key.items():
        base = by_key[name, task, seed, "none"]
        changed = {
            "none": [],
            "lr-half": [("optimizer", "lr", 0.5)],
            "lr-double": [("optimizer", "lr", 2.0)],
            "batch-half": [("train", "batch_size", 0.5)],
            "ema-short": [("stage", "ema_decay", None)],
        }[perturbation]
        for section, option, factor in changed:
            before, after = base[section].pop(option), config[section].pop(option)
            assert after == (0.9 if factor is None else before * factor)
            base[section][option] = before
            config[section][option] = before
        assert config == base


def test_wrong_perturbations_are_refused():
    for name in ("none", "a/b"):
        with pytest.raises(ConfigError, match="plan.perturbations"):
            plan.checked({**TWO, "perturbations": {name: {}}})


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    folder = tmp_path_factory.mktemp("perturb")
    storage.write_text(folder / "plan.yaml", yaml_files.dump(TWO))
    values = random.Random(0)
    for job in jobs(plan.checked(TWO), folder, list(METHODS)):
        write_finished(job, values.random())
    assert experiment(TWO, folder, only=(), **QUIET) == []
    return folder


def runs_of(output, perturbation, task, seed):
    home = output if perturbation == "none" else output / "perturbed" / perturbation
    return [entry(f"{name}={home / task / name / f'seed-{seed}'}") for name in METHODS]


def test_the_correlation_of_each_retraining_is_that_of_its_runs(output):
    """Against SciPy, from the scores of the run folders."""
    pair = storage.read_json(output / "perturbations.json")["pairs"][0]
    assert (pair["x"], pair["y"]) == ("accuracy", "presence")
    assert len(pair["retrainings"]) == 6
    values = []
    for one in pair["retrainings"]:
        of_tasks = [runs_of(output, one["perturbation"], task, one["seed"]) for task in ("imagenet", "t2i")]
        xs, ys = (
            [run.scores[score].value for run in runs]
            for runs, score in zip(of_tasks, ("accuracy", "presence"), strict=True)
        )
        assert one["spearman"] == pytest.approx(stats.spearmanr(xs, ys).statistic)
        assert one["pearson"] == pytest.approx(stats.pearsonr(xs, ys).statistic)
        values.append(one["spearman"])
    assert pair["mean"] == pytest.approx(statistics.fmean(values))
    assert pair["sd"] == pytest.approx(statistics.stdev(values))


def test_a_second_call_repeats_nothing(output):
    before = {path: path.stat().st_mtime_ns for path in output.rglob("result.json")}
    assert len(before) == 4 * 2 * 2 * 3
    experiment(TWO, output, only=(), **QUIET)
    assert {path: path.stat().st_mtime_ns for path in output.rglob("result.json")} == before


def test_the_report_has_the_table(output):
    from nanogen_bench.report.page import page
    from nanogen_bench.report.reading import Request, read

    html = page(read(Request(place=str(output), xs=("accuracy",), ys=("presence",), draws=100)))
    assert "Correlations of retrainings" in html
    assert "batch-half" in html


def test_a_damaged_file_is_left_out_of_the_report(output):
    from nanogen_bench.report.study_folder import study_folder

    file = output / "perturbations.json"
    before = file.read_text(encoding="utf-8")
    try:
        for content in ("[]", '{"pairs": 3}', json.dumps({"perturbations": [], "pairs": [{"x": 1}]})):
            file.write_text(content, encoding="utf-8")
            assert any("perturbations.json" in reason for reason in study_folder(output).left_out)
    finally:
        file.write_text(before, encoding="utf-8")
