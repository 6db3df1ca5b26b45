"""The two sides of the speed figures compute the same, and a row says whether it holds."""

import json

import pytest
import torch
from click.testing import CliRunner

from benchmarks import data
from benchmarks.speed import training
from benchmarks.speed.__main__ import PARTS, main, table
from benchmarks.speed.parts import batch, pipeline, plain_loop
from benchmarks.speed.products import Products
from benchmarks.speed.timing import Row, as_json, ratio
from nanogen_core.tensors import Condition, State
from nanogen_train.logging.flops import FlopCount


@pytest.fixture(scope="module")
def model():
    found = pipeline("tiny")
    torch.manual_seed(0)
    for tensor in found.backbone.parameters():  # the heads begin at zero
        torch.nn.init.normal_(tensor, std=0.05)
    return found


def test_the_plain_loop_has_the_loss_and_the_gradients_of_ours(model):
    given = batch()
    other = plain_loop(model, given)
    t, noise = torch.rand(64), torch.randn(64, 8, 8, 8)
    labels = given.labels
    theirs = other.loss(noise, t, labels)
    tokens = torch.nn.functional.one_hot(labels, 65).float()[:, None]
    state = State(given.latents)
    ours = model.objective.loss_at(model.backbone, state, State(noise), t, Condition(tokens)).mean()
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    norms = [
        torch.stack([g.norm() for g in torch.autograd.grad(loss, list(net.parameters()))]).norm()
        for loss, net in ((ours, model.backbone), (theirs, other.net))
    ]
    torch.testing.assert_close(*norms, rtol=1e-4, atol=1e-6)


def test_the_plain_loop_learns(model):
    other = plain_loop(model, batch())
    before = [tensor.clone() for tensor in other.ema.parameters()]
    other()
    assert any(not a.equal(b) for a, b in zip(before, other.ema.parameters(), strict=True))


def test_a_row_is_held_to_its_bound():
    assert Row(name="a", against="b", figure=1.4, at_least=1.3).holds
    assert not Row(name="a", against="b", figure=1.2, at_least=1.3).holds
    assert not Row(name="a", against="b", figure=0.3, at_most=0.25).holds
    row = Row(name="a", against="b", figure=1.2, at_least=1.3, peak_mib=5)
    shown = table({"machine": {"threads": 2}, "rows": [as_json(row)]})
    assert "| a | b | 1.20x | >= 1.3 | NO | 5 |  |" in shown


@pytest.mark.parametrize(("gain", "bound"), [(1.0, 0.95), (1.25, 1.0), (2.3, 1.15), (3.0, 1.15)])
def test_the_bound_of_a_step_grows_with_the_gain_of_our_products(monkeypatch, gain, bound):
    monkeypatch.setattr(training, "_product_gain", lambda: gain)
    assert training._bound(training.EAGER) == bound


def test_a_ratio_is_how_many_times_as_quick_ours_is(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("benchmarks.speed.timing.time.perf_counter", lambda: clock[0])

    def taking(seconds):
        def work():
            clock[0] += seconds

        return work

    figure, detail = ratio(taking(0.5), taking(1.0), rounds=3)
    assert figure == 2.0
    assert detail == "500.0 ms against 1000.0 ms"


def test_an_unknown_part_is_named():
    result = CliRunner().invoke(main, ["--only", "stp"])
    assert "No part 'stp'. Did you mean 'step'" in str(result.exception)


def test_a_part_prints_its_rows_with_their_memory():
    (row,) = json.loads(CliRunner().invoke(main, ["--here", "--only", "draws"], catch_exceptions=False).output)
    assert row["peak_mib"] > 100
    assert set(PARTS) >= {"step", "bf16", "efficiency", "texts", "labels", "meanflow", "ema", "start"}


def test_the_products_of_a_step_are_repeated_with_all_its_flops():
    model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.GELU(), torch.nn.Linear(16, 4))
    x, q = torch.randn(32, 8), torch.randn(2, 3, 10, 8)
    with Products() as products:
        model(x).square().mean().backward()
        torch.nn.functional.scaled_dot_product_attention(q, q, q)
    with FlopCount() as repeated:
        products.repeat()
    forward = 2 * 32 * (8 * 16 + 16 * 4)
    backward = 2 * forward - 2 * 32 * 8 * 16  # the input needs no gradient
    attention = 2 * 2 * (2 * 3) * 10 * 10 * 8
    assert repeated.without_gradient == forward + backward + attention
    assert len(products.calls) == 2 + 3 + 1


@pytest.mark.parametrize("words", [("read", 512, 4), ("prepare", 64, 32)], ids=["read", "prepare"])
def test_the_measurements_of_latents_run(tmp_path, words):
    what, count, side = words
    found = data._measured(what, tmp_path, count, side)
    assert found["rate"] > 0
    assert found["rss"] > 50
