"""The table of samplers and guidances of one run: its rows, and the evaluations that it counts."""

import pytest
from click.testing import CliRunner

from benchmarks import sampling_table
from nanogen_core.pipeline import build_pipeline
from nanogen_core.registry import registry


@pytest.fixture
def run(small, tmp_path):
    return build_pipeline(small, metric="openmoji-accuracy").save(tmp_path / "run")


def printed(*arguments):
    result = CliRunner().invoke(sampling_table.main, [str(each) for each in arguments])
    assert result.exit_code == 0, result.output
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in result.output.splitlines()]
    header, _, real, *found = lines
    return header, real, [dict(zip(header, cells, strict=True)) for cells in found]


def test_it_names_installed_samplers_and_guidances():
    known = registry().components
    assert {*sampling_table.SAMPLERS} <= {*known["sampler"]}
    assert {*sampling_table.GUIDANCES, "autoguidance"} <= {*known["guidance"]}
    assert {"euler", "heun"} < {*sampling_table.SAMPLERS}


def test_a_row_for_each_sampler_and_each_guidance_with_its_evaluations(run):
    header, real, found = printed(
        run, "--steps", "2,3", "--count", "8", "--weak", run, "--only", "heun", "--only", "apg"
    )
    assert header[4:-1] == ["accuracy", "frechet"]
    assert real[0] == "real"
    counts = [(row["sampler"], row["guidance"], row["steps"], row["evaluations"]) for row in found]
    assert counts == [
        ("heun", "none", "2", "3"),
        ("heun", "none", "3", "5"),
        ("euler", "apg", "2", "4"),
        ("euler", "apg", "3", "6"),
    ]
    assert all(float(row["frechet"]) > 0 for row in found)


def test_the_weaker_run_is_compared_if_it_is_given(run):
    assert printed(run, "--steps", "2", "--count", "4", "--only", "autoguidance")[2] == []
    (row,) = printed(run, "--steps", "2", "--count", "4", "--only", "autoguidance", "--weak", run)[2]
    assert (row["sampler"], row["guidance"], row["evaluations"]) == ("euler", "autoguidance", "2")
