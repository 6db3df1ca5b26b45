"""The GPU benchmark, on a CPU with tiny networks: rows, goals, errors, and the order of the work."""

import json

import pytest
import torch
from attrs import evolve
from click.testing import CliRunner
from torch import nn

from benchmarks.gpu import __main__ as script
from benchmarks.gpu.goals import goals
from benchmarks.gpu.models import SMALL, Captions

TINY = evolve(SMALL[0], backbone={"name": "lightning-dit", "hidden": 16, "depth": 1, "heads": 1}, batch_size=2)
RATES = {
    ("LightningDiT-B", "ours, eager"): 800.0,
    ("MeanFlow, LightningDiT-B", "ours, eager"): 400.0,
    ("LightningDiT-XL", "ours, eager"): 280.0,
    ("LightningDiT-XL", "plain loop, eager"): 250.0,
    ("LightningDiT-XL", "ours, compiled"): 310.0,
    ("DDT-XL", "ours, compiled"): 300.0,
    ("DDT-XL, text of 20 to 256 tokens", "ours, compiled"): 200.0,
    ("DDT-XL, text of 20 to 256 tokens", "plain loop, compiled"): 160.0,
    ("DDT-XL, text of 20 to 256 tokens, FlexAttention", "ours, compiled"): 220.0,
    ("MeanFlow (derivative: forward), LightningDiT-B", "ours, compiled"): 500.0,
    ("MeanFlow (derivative: forward), LightningDiT-B", "plain loop, compiled"): 400.0,
}


def test_goals_compare_rows_of_one_kind():
    rows = [
        {"model": model, "side": side, "images_per_second": rate, "utilisation": 0.4}
        for (model, side), rate in RATES.items()
    ]
    found = [(goal["name"], goal["against"], pytest.approx(goal["figure"]), goal["holds"]) for goal in goals(rows)]
    assert found == [
        ("LightningDiT-XL, eager", "", 280.0, False),
        ("a step of MeanFlow, LightningDiT-B, eager", "LightningDiT-B", 2.0, True),
        ("LightningDiT-XL, eager", "plain loop", 1.12, True),
        ("LightningDiT-XL, compiled", "", 310.0, True),
        ("DDT-XL, compiled", "the large product", 0.4, True),
        ("a step of DDT-XL, text of 20 to 256 tokens, compiled", "DDT-XL", 1.5, False),
        (
            "DDT-XL, text of 20 to 256 tokens, FlexAttention, compiled",
            "DDT-XL, text of 20 to 256 tokens, fused",
            1.1,
            True,
        ),
        ("DDT-XL, text of 20 to 256 tokens, compiled", "plain loop", 1.25, True),
        ("MeanFlow (derivative: forward), LightningDiT-B, compiled", "plain loop", 1.25, True),
    ]


def test_rows_of_attention_and_errors_have_no_goal():
    assert goals([{"attention": "mask", "ms": 1.0}, {"model": "DDT-XL", "side": "ours, eager", "error": "..."}]) == []


def test_each_model_is_compiled_with_its_own_static_sizes(monkeypatch):
    symbols = []

    def backend(graph, inputs):
        symbols.append([value for value in inputs if isinstance(value, torch.SymInt)])
        return graph.forward

    def compile_with_it(module, **options):
        module._compiled_call_impl = torch.compile(module._call_impl, backend=backend)

    monkeypatch.setattr(nn.Module, "compile", compile_with_it)
    for batch_size in (4, 2):
        script._ours(evolve(TINY, batch_size=batch_size), True, 1, 1.0)
    assert len(symbols) >= 2
    assert not any(symbols)


def test_a_program_that_fails_costs_its_own_row_only(monkeypatch):
    def no_memory(*args):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(script, "_ours", no_memory)
    ours, plain = script._programs([TINY], 1, 1.0, compiled=False)
    assert ours == {"model": TINY.name, "side": "ours, eager", "error": "OutOfMemoryError: CUDA out of memory"}
    assert plain["images_per_second"] > 0


def test_a_second_run_measures_what_the_first_has_not(monkeypatch, tmp_path):
    measured, file = [], tmp_path / "results.json"
    first = {"model": TINY.name, "side": "ours, eager", "images_per_second": 3.0}
    failed = {"model": TINY.name, "side": "plain loop, eager", "error": "OutOfMemoryError: CUDA out of memory"}
    kernel = {"attention": "mask", "ms": 1.0, "difference": 0.0}
    file.write_text(json.dumps({"machine": script._machine(), "rows": [first, failed, kernel]}))

    def row(model, side, measure):
        measured.append(side)
        return {"model": model.name, "side": side, "images_per_second": 2.0}

    monkeypatch.setattr(script, "_row", row)
    monkeypatch.setattr(script, "SMALL", [TINY])
    options = ["--small", "--resume", "--output", str(file)]
    CliRunner().invoke(script.main, options, catch_exceptions=False)
    result = json.loads(file.read_text())
    assert measured == ["plain loop, eager"]
    assert result["rows"][:2] == [first, kernel]
    assert [goal["figure"] for goal in result["goals"]] == [1.5]
    file.write_text(json.dumps({"machine": {"device": "another"}, "rows": [first]}))
    assert "give another --output" in str(CliRunner().invoke(script.main, options).exception)


def test_each_step_has_captions_of_other_lengths(monkeypatch):
    lengths, encode = [], Captions.encode

    def spy(self, *args):
        condition = encode(self, *args)
        lengths.append(condition.mask.sum(dim=1).tolist())
        return condition

    monkeypatch.setattr(Captions, "encode", spy)
    text = evolve(TINY, captions=(20, 256), batch_size=8)
    full = script._ours(text, False, 2, 1.0)
    assert len(lengths) == len({tuple(each) for each in lengths}) == 1 + script.WARM_UP + 2
    assert 20 <= min(map(min, lengths)) < max(map(max, lengths)) <= 256
    short = script._ours(evolve(text, captions=(20, 120)), False, 1, 1.0)
    assert short["flops_per_step"] < 0.7 * full["flops_per_step"]
