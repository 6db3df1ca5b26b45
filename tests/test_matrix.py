"""The matrix: its cells as configurations, and a very small one of them from end to end."""

import csv
import io
import json
import shutil
import warnings
from html.parser import HTMLParser

import pytest
import torch
from attrs import evolve
from click.testing import CliRunner

from benchmarks.matrix import cell as one_cell
from benchmarks.matrix import cells, order, page, table
from benchmarks.matrix.__main__ import main
from benchmarks.matrix.order import Matrix
from benchmarks.matrix.sheet import rows
from nanogen_core.config import combine, resolve
from nanogen_core.errors import ConfigError, ConfigWarning, UnknownName
from nanogen_fidelity.distances.frechet import Moments, frechet_distance, moments
from nanogen_files import yaml_files
from nanogen_files.config_diff import flat
from nanogen_train.trainer.loop import Interrupted

PLAN = cells.read()
EVERY = [(name, task) for name in PLAN.cells for task in PLAN.tasks]
MAY_DIFFER = ("task.", "conditioner.", "encoder.", "dataset.", "metric.", "guidance.cfg.scale")
SMALL = {
    "dataset": {"name": "openmoji", "train": 24, "val": 24},
    "backbone": {"hidden": 16, "depth": 2, "heads": 1},
    "train": {"batch_size": 8, "precision": "fp32", "log_every": 1, "sample_count": 2},
}
CHOSEN = ("vae+reg", "vae", "meanflow")  # two that anyone can run, and one that needs another


# -- the cells -------------------------------------------------------------------------------------------------------


def test_the_cells_print_no_notes_on_their_own_options(tmp_path):
    with warnings.catch_warnings(record=True) as noted:
        warnings.simplefilter("always")
        for name, task in EVERY:
            cells.configuration(PLAN, name, task, output=tmp_path)
        assert [str(note.message) for note in noted] == []
        combine(PLAN.base, {"backbone": "ddt"})
    assert [note.category for note in noted] == [ConfigWarning]  # others are still printed


@pytest.mark.parametrize(("name", "task"), EVERY)
def test_every_configuration_resolves(tmp_path, name, task):
    resolved = resolve(cells.configuration(PLAN, name, task, output=tmp_path))
    schedule = resolved.slots["schedule"].config
    assert resolved.sections["train"].steps == schedule.end_step == PLAN.cells[name].steps
    assert resolved.task == task


@pytest.mark.parametrize("name", PLAN.cells)
def test_the_two_tasks_of_a_cell_differ_in_task_alone(name):
    first, second = (cells.overlay(PLAN, name, task) for task in PLAN.tasks)
    assert {key for key in first if first[key] != second[key]} == {"task"}
    assert first.keys() == second.keys()
    one, other = (dict(flat(resolve(overlay).as_dict())) for overlay in (first, second))
    differing = {key for key in {*one, *other} if one.get(key) != other.get(key)}
    assert not {key for key in differing if not key.startswith(MAY_DIFFER)}


def test_the_matrix_without_optional_packages_fits_two_hours():
    seconds = [PLAN.seconds(name) for name, cell in PLAN.cells.items() if cell.package is None]
    assert sum(seconds) * len(PLAN.tasks) <= 7200


def test_a_cell_without_its_package_runs_only_if_it_is_named(tmp_path):
    plan = yaml_files.read(cells.FILE)
    plan["cells"]["rae"]["package"] = "no_such_package"
    (tmp_path / "cells.yaml").write_text(yaml_files.dump(plan))
    found = cells.read(tmp_path / "cells.yaml")
    assert "rae" not in found.chosen(())
    assert {"vae", "rae-decoder"} <= set(found.chosen(()))
    assert found.chosen(("rae",)) == ["rae-decoder", "rae"]


def test_a_tenth_has_a_tenth_of_the_steps_and_an_average_over_the_same_share(tmp_path):
    whole, tenth = (cells.configuration(PLAN, "vae", "t2i", output=tmp_path, scale=scale) for scale in (1.0, 0.1))
    assert tenth["train"]["steps"] * 10 == whole["train"]["steps"]
    assert tenth["schedule"]["end_step"] * 10 == whole["schedule"]["end_step"]
    assert tenth["stage"]["ema_decay"] == pytest.approx(whole["stage"]["ema_decay"] ** 10)


def test_a_cell_brings_those_that_it_needs(tmp_path):
    assert PLAN.chosen(("rae",)) == ["rae-decoder", "rae"]
    assert PLAN.chosen(("pixel-meanflow", "vae")) == ["vae", "pixel", "pixel-meanflow"]
    config = cells.configuration(PLAN, "rae", "t2i", output=tmp_path)
    assert config["tokenizer"]["statistics"] == str(tmp_path / "t2i" / "rae-decoder" / "statistics.safetensors")
    with pytest.raises(UnknownName, match="'meanflow'"):
        PLAN.chosen(("meanflaw",))


def test_a_need_must_stand_above(tmp_path):
    plan = yaml_files.read(cells.FILE)
    plan["cells"] = {name: plan["cells"][name] for name in ("meanflow", "vae")}
    (tmp_path / "cells.yaml").write_text(yaml_files.dump(plan))
    with pytest.raises(ConfigError, match=r"cells\.meanflow needs the cell 'vae'"):
        cells.read(tmp_path / "cells.yaml")


# -- the distance, and weights from elsewhere ------------------------------------------------------------------------


def test_the_frechet_distance_of_gaussians_that_commute():
    """tr(A + B - 2 (AB)^1/2) is the sum of (sqrt a - sqrt b)^2 then."""
    a, b = torch.tensor([4.0, 1.0, 0.0]).double(), torch.tensor([1.0, 9.0, 0.0]).double()
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)).Q
    first = Moments(torch.tensor([1.0, 0.0, 2.0]).double(), turn @ a.diag() @ turn.T)
    second = Moments(torch.zeros(3).double(), turn @ b.diag() @ turn.T)
    assert frechet_distance(first, second) == pytest.approx(5 + 1 + 4)
    assert frechet_distance(first, first) == pytest.approx(0, abs=1e-6)


def test_moments_are_those_of_a_sample():
    drawn = torch.tensor([[0.0, 0.0], [2.0, 4.0]])
    assert moments(drawn).mean.tolist() == [1, 2]
    assert moments(drawn).covariance.tolist() == [[2, 4], [4, 8]]


def test_rows_of_a_sheet():
    assert rows([25]) == [(25, 0), (25, 1), (25, 2)]
    assert rows([1, 2]) == [(1, 0), (2, 0)]


# -- from end to end -------------------------------------------------------------------------------------------------


def small(folder, names=CHOSEN, steps=4):
    """The plan with its real cells, so small that each takes a second or two."""
    plan = yaml_files.read(cells.FILE)
    plan |= {"judged": 16, "untrained": 8, "base": combine(plan["base"], SMALL)}
    plan["cells"] = {name: {**plan["cells"][name], "steps": steps} for name in plan["cells"] if name in names}
    for name in plan["cells"]:
        plan["cells"][name]["judge"] = [min(steps, 2) for steps in plan["cells"][name].get("judge", [])][:2]
    return Matrix(plan=_written(plan, folder / "cells.yaml"), output=folder / "matrix")


def _written(plan, file):
    file.write_text(yaml_files.dump(plan))
    return cells.read(file)


def fill(matrix, *arguments):
    options = ["--cells", str(matrix.output.parent / "cells.yaml"), "--output", str(matrix.output)]
    return CliRunner().invoke(main, [*options, *arguments])


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A small matrix in which one cell fails, stopped in the middle and gone on with."""
    matrix = small(tmp_path_factory.mktemp("matrix"))
    plan = yaml_files.read(matrix.output.parent / "cells.yaml")
    plan["cells"]["broken"] = {
        "summary": "<b>a wrong</b> configuration",
        "steps": 1,
        "judge": [1],
        "config": {"backbone": {"hidden": "<wide>"}},
    }
    matrix = Matrix(plan=_written(plan, matrix.output.parent / "cells.yaml"), output=matrix.output)
    times, answers = [], []
    with pytest.MonkeyPatch.context() as patch:
        _stop_once(patch, "imagenet", "vae+reg")
        answers.append(fill(matrix))
        times.append(_written_at(matrix))
        answers.append(fill(matrix))
        times.append(_written_at(matrix))
    return matrix, times, answers


def _stop_once(patch, task, name):
    """The process ends when this cell is half trained."""
    train, stopped = one_cell.Run._write_outputs, []

    def afterwards(run):
        train(run)
        if run.folder.parts[-2:] == (task, name) and run.step == 2 and not stopped:
            stopped.append(True)
            raise Interrupted("Stopped.")

    patch.setattr(one_cell.Run, "_write_outputs", afterwards)


def _written_at(matrix):
    return {file.parent: file.stat().st_mtime_ns for file in matrix.output.glob("*/*/result.json")}


def test_a_stopped_matrix_goes_on_and_repeats_nothing(finished):
    matrix, (before, after), (first, second) = finished
    assert first.exit_code == 130
    assert {folder.name for folder in before} == {"vae"}
    assert len(after) == len(CHOSEN) * 2
    assert all(after[folder] == before[folder] for folder in before)
    assert "imagenet vae: already finished" in second.output
    log = (matrix.output / "imagenet" / "vae+reg" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in log] == [1, 2, 3, 4]


def test_a_cell_that_fails_is_recorded_and_the_rest_goes_on(finished):
    matrix, _, (_, second) = finished
    assert second.exit_code == 1
    record = matrix.record("imagenet", "broken")
    assert record.figures is None
    assert "backbone.hidden" in record.error
    assert matrix.record("t2i", "meanflow").figures


def test_every_cell_has_its_rows_in_the_table(finished):
    matrix = finished[0]
    found = list(csv.DictReader(io.StringIO((matrix.output / "results.csv").read_text())))
    assert {(row["method"], row["task"]) for row in found} == {(n, t) for n in matrix.plan.cells for t in PLAN.tasks}
    trained = [row for row in found if row["network"] == "trained"]
    assert [row["sampling_steps"] for row in trained if row["method"] == "meanflow"] == ["1", "2"] * 2
    assert all(float(row["frechet"]) > 0 and int(row["parameters"]) for row in trained)
    assert all(bool(row["accuracy"]) == (row["task"] == "imagenet") for row in trained)
    assert all(bool(row["presence"]) == (row["task"] == "t2i") for row in trained)
    assert {row["network"] for row in found if row["method"] == "vae"} == {"trained", "untrained", "real"}
    assert all("backbone.hidden" in row["error"] for row in found if row["method"] == "broken")


class Page(HTMLParser):
    """Refuses tags that are not closed in order; notes names, texts and pictures."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.pictures, self.text = [], set(), [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.pictures += [value for name, value in attrs if name == "src"]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_the_page_is_whole_and_shows_every_cell(finished):
    matrix = finished[0]
    parsed = Page()
    parsed.feed((matrix.output / "report.html").read_text())
    assert not parsed.open
    assert not {"script", "link", "b", "wide"} & parsed.tags
    assert len(parsed.pictures) == len(CHOSEN) * 2
    assert all(source.startswith("data:image/png;base64,") for source in parsed.pictures)
    for name in matrix.plan.cells:
        assert parsed.text.count(name) >= 4  # in the table and below a picture, on both tasks
    assert "<b>a wrong</b>" not in parsed.text.replace("<wide>", "")  # a failed cell has no caption but its name
    assert "<wide>" in parsed.text
    assert "OpenMoji" in parsed.text


def test_figures_of_another_question_do_not_count(finished):
    plan, output = finished[0].plan, finished[0].output
    shorter, closer = Matrix(plan=plan, output=output, scale=0.5), Matrix(plan=evolve(plan, judged=32), output=output)
    assert Matrix(plan=plan, output=output).record("t2i", "meanflow").figures
    assert shorter.record("t2i", "vae").figures is None
    assert closer.record("t2i", "vae").figures is None
    assert closer.job("t2i", "vae").training == finished[0].job("t2i", "vae").training  # judged anew, not trained anew


def test_a_cell_after_another_training_of_its_need_is_another_one(finished):
    plan, output = finished[0].plan, finished[0].output
    longer = {**plan.cells, "vae": evolve(plan.cells["vae"], steps=5)}
    other = Matrix(plan=evolve(plan, cells=longer), output=output)
    assert other.record("t2i", "meanflow").figures is None
    assert other.record("t2i", "vae+reg").figures


def test_a_cell_whose_need_failed_says_so(tmp_path):
    matrix = small(tmp_path, names=("vae", "meanflow"), steps=1)
    shutil.rmtree(matrix.output, ignore_errors=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(order, "work", lambda *_: (_ for _ in ()).throw(MemoryError("no room")))
        told = {record.name: record.error for record in _run(matrix)}
    assert told["vae"] == "MemoryError: no room"
    assert "needs the cell 'vae'" in told["meanflow"]
    assert "no room" in page.page(matrix.records())
    assert "no room" in table.text(matrix.records())


def _run(matrix):
    names = list(matrix.plan.cells)
    return list(matrix.run(names, ("imagenet",), say=lambda line: None, report=lambda step, scalars: None))


def test_the_page_has_no_sheet_of_a_cell_that_has_not_run(finished, tmp_path):
    empty = Matrix(plan=finished[0].plan, output=tmp_path)
    assert "<figure>" not in page.page(empty.records())
    assert page.page(empty.records()).count("not run") == len(empty.records())
    ran = [record for record in finished[0].records() if record.figures or record.error]
    assert page.page(finished[0].records()).count("<figure>") == len(ran) > 0
