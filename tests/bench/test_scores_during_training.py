"""The report's section "Scores during training": curves of `score.` lines, and the note on a selected checkpoint."""

import json
import re

import numpy as np
import pytest

from nanogen_bench.mini import plan
from nanogen_bench.mini.experiment import experiment
from nanogen_bench.mini.job import jobs
from nanogen_bench.report.page import page
from nanogen_bench.report.reading import Request, read
from nanogen_files import storage, yaml_files
from tests.bench.finished_runs import write_finished
from tests.bench.test_perturbations import METHODS, QUIET, TWO

ONE = {key: value for key, value in TWO.items() if key != "perturbations"} | {"seeds": [0]}
CURVE = {1: 0.125, 2: 0.5, 4: 0.25}


@pytest.fixture
def output(tmp_path):
    storage.write_text(tmp_path / "plan.yaml", yaml_files.dump(ONE))
    for number, job in enumerate(jobs(plan.checked(ONE), tmp_path, list(METHODS))):
        write_finished(job, number / 10)
    run = tmp_path / "imagenet" / "width-8" / "seed-0"
    with (run / "log.jsonl").open("a") as log:
        log.writelines(json.dumps({"step": n, "seconds": 2.0, "score.accuracy": CURVE[n]}) + "\n" for n in CURVE)
    selection = {"score": "accuracy", "value": 0.5, "step": 2, "candidates": 3}
    storage.write_json(run / "best" / "selection.json", selection)
    assert experiment(ONE, tmp_path, only=(), **QUIET) == []
    return tmp_path


def html_of(output):
    return page(read(Request(place=str(output), xs=("accuracy",), ys=("presence",), draws=100)))


def test_the_curve_is_drawn_at_its_steps_and_values(output):
    section = html_of(output).partition('id="progress"')[2].partition("</section>")[0]
    (points,) = re.findall(r'<polyline[^>]* points="([^"]+)"', section)
    drawn = np.array([point.split(",") for point in points.split()], dtype=float)
    assert "width-8" in section
    assert "accuracy over the steps" in section
    for axis, values in enumerate((list(CURVE), list(CURVE.values()))):
        slope, intercept = np.polyfit(values, drawn[:, axis], 1)
        np.testing.assert_allclose(slope * np.array(values) + intercept, drawn[:, axis], atol=0.11)  # one decimal
        assert slope > 0 if axis == 0 else slope < 0  # y grows downwards in SVG


def test_the_report_says_how_a_checkpoint_was_selected(output):
    text = " ".join(re.sub(r"<[^>]+>", " ", html_of(output)).split())
    assert "the checkpoint of step 2 was selected among 3 by accuracy" in text
    assert "Its accuracy is optimistic" in text
