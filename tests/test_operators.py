"""The operators of a training step do not grow with the batch."""

import json

import pytest

from benchmarks import operators
from benchmarks.speed import parts
from tests.derivatives import derivatives_of


@pytest.mark.parametrize("row", operators.METHODS)
def test_a_step_dispatches_as_many_operators_at_any_batch_size(row):
    small, large = (operators.step_operators(row, size) for size in (2, 48))
    assert small == large
    assert small.total() > 500


def test_a_meanflow_step_computes_its_derivative(monkeypatch):
    found, run = [], parts.run
    monkeypatch.setattr(parts, "run", lambda built: found.append(derivatives_of(built.objective)) or run(built))
    operators.step_operators("meanflow", 2)
    assert [len(derivatives) for derivatives in found] == [2]


def test_more_operators_would_be_seen():
    import torch

    with operators.Operators() as counted:
        for _ in range(3):
            torch.ones(2).add(1)
    assert counted.counts["aten.add.Tensor"] == 3


def test_the_command_prints_one_json_object(monkeypatch, capsys):
    monkeypatch.setattr(operators, "BATCHES", (2,))
    monkeypatch.setattr("sys.argv", ["operators", "--json"])
    operators.main()
    printed = json.loads(capsys.readouterr().out)
    assert printed.keys() == {"flow", "meanflow"}
    assert all(counts.keys() == {"2"} for counts in printed.values())
