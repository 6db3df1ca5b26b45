"""The vital figures of a step: against closed forms and torch's own counter, and without any effect on the training."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from nanogen_core.pipeline import build_pipeline
from nanogen_core.randomness import KeyedRNG
from nanogen_core.tensors import Batch
from nanogen_train.checkpoint import checkpoint
from nanogen_train.logging import metrics_log
from nanogen_train.logging.flops import FlopCount
from nanogen_train.logging.statistics import RecordingRNG, StepStatistics
from nanogen_train.optim.optimization import Optimization
from nanogen_train.optim.optimizers import AdamW
from nanogen_train.optim.schedules import Constant
from nanogen_train.optim.settings import AdamWConfig, ConstantConfig
from nanogen_train.trainer.loop import Run

PER_STEP = {"weights.student", "update.student", "latent.mean", "latent.std", "draws.noise.std", "images"}


def counted(work):
    with FlopCount() as count:
        work()
    return count.with_gradient, count.without_gradient


# -- FLOPs -----------------------------------------------------------------------------------------------------------


def test_a_linear_layer_takes_two_operations_for_each_weight_and_row_and_twice_that_backwards():
    layer, rows = nn.Linear(6, 10, bias=False), torch.randn(4, 6, requires_grad=True)
    product = 2 * 4 * 6 * 10
    assert counted(lambda: layer(rows)) == (product, 0)
    assert counted(lambda: layer(rows).sum().backward()) == (3 * product, 0)


def test_what_keeps_no_gradient_is_counted_apart():
    layer, rows = nn.Linear(6, 10, bias=False), torch.randn(4, 6)

    def work():
        with torch.no_grad():
            frozen = layer(rows)
        (layer(rows) - frozen).sum().backward()

    assert counted(work) == (2 * 480, 480)  # forward, and backward into the weights alone


def test_double_differentiation_is_counted():
    """d/dx |d/dx (x W)^2 / 2|: the first derivative is two products (x W, then times W'), as is each of the next."""
    weight, x = torch.randn(5, 5), torch.randn(3, 5, requires_grad=True)

    def work():
        (slope,) = torch.autograd.grad((x @ weight).square().sum(), x, create_graph=True)
        slope.sum().backward()

    assert counted(work) == (4 * 2 * 3 * 5 * 5, 0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_transformer_counts_as_in_torchs_own_counter(dtype):
    block = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
    rows = torch.randn(3, 7, 16)

    def work():
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            block(rows).float().square().mean().backward()

    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH), FlopCounterMode(display=False) as known:
        work()
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        assert counted(work) == (known.get_total_flops(), 0)


def test_the_fused_attention_of_a_cpu_is_not_free():
    """Two products forward, and five backward: the fused kernel makes the weights anew."""
    q, k, v = (torch.randn(2, 3, 8, 4, requires_grad=True) for _ in range(3))
    attend = nn.functional.scaled_dot_product_attention
    product = 2 * 2 * 3 * 8 * 8 * 4
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.FLASH_ATTENTION):
        assert counted(lambda: attend(q, k, v).sum().backward()) == (7 * product, 0)


# -- norms -----------------------------------------------------------------------------------------------------------


class OneWeight:
    """A stage with one parameter."""

    phase_names = ("student",)

    def __init__(self):
        self.weight = nn.Parameter(torch.tensor([3.0, 4.0]))
        self.nets = nn.ModuleDict()

    def parameters_of(self, phase):
        return [("weight", self.weight)]


def test_the_first_step_of_adam_moves_each_weight_by_the_learning_rate():
    stage = OneWeight()
    factory, schedule = AdamW(AdamWConfig(lr=0.01, beta1=0.9, beta2=0.99)), Constant(ConstantConfig())
    optimization = Optimization(stage, factory, schedule, 1e9)
    vitals = StepStatistics(optimization, images=8)
    stage.weight.grad = torch.tensor([0.6, -0.8])
    with vitals.of_update("student", True) as found:
        optimization.update("student", 0)
    assert float(found["update.student"]) == pytest.approx(0.01 * 2**0.5 / 5, rel=1e-4)
    assert float(found["weights.student"]) == pytest.approx((2.99**2 + 4.01**2) ** 0.5)
    assert float(found["state.student.exp_avg"]) == pytest.approx(0.1)  # (1 - beta1) |g|
    assert float(found["state.student.exp_avg_sq"]) == pytest.approx(0.01 * (0.36**2 + 0.64**2) ** 0.5)


def test_a_step_that_is_not_measured_costs_no_copy():
    vitals = StepStatistics(Optimization(OneWeight(), AdamW(AdamWConfig()), Constant(ConstantConfig()), 1.0), images=8)
    with vitals.of_update("student", False) as found:
        pass
    assert found == {}


def test_statistics_of_a_batch_and_of_what_was_drawn():
    vitals = StepStatistics(Optimization(OneWeight(), AdamW(AdamWConfig()), Constant(ConstantConfig()), 1.0), images=8)
    latents = torch.tensor([1.0, 3.0]).reshape(2, 1, 1, 1)
    found = vitals.of_batch(Batch(torch.arange(2), latents=latents), {"noise": torch.tensor([0.0, 0.0, 3.0])})
    assert {name: float(value) for name, value in found.items()} == pytest.approx(
        {"latent.mean": 2, "latent.std": 1, "draws.noise.mean": 1, "draws.noise.std": 2**0.5}
    )
    assert vitals.cost() == {"images": 8}


def test_noted_draws_are_the_same_draws():
    plain, noted = KeyedRNG(3, [0, 5], step=7), RecordingRNG(3, [0, 5], step=7)
    assert torch.equal(plain.normal("noise", (2,)), noted.normal("noise", (2,)))
    assert torch.equal(noted.drawn["noise"], plain.normal("noise", (2,)))
    assert set(noted.drawn) == {"noise"}


# -- in a run --------------------------------------------------------------------------------------------------------


def test_measuring_every_step_or_few_changes_nothing_in_the_training(small, tmp_path):
    for every in (1, 6):
        small["train"]["log_every"] = every
        Run(build_pipeline(small), tmp_path / str(every)).train()
    first, second = (checkpoint.load(tmp_path / name, 6)[0]["nets"] for name in ("1", "6"))
    assert all(torch.equal(first[name], second[name]) for name in first)
    often, seldom = (metrics_log.read(tmp_path / name) for name in ("1", "6"))
    assert len(often) == 6
    assert len(seldom) == 1
    assert all(entry.keys() >= PER_STEP for entry in [*often, *seldom])
    assert often[-1]["update.student"] == seldom[-1]["update.student"]
    assert often[0]["flops.with_gradient"] == seldom[0]["flops.with_gradient"] > 0


def test_a_compiled_network_is_still_compiled_after_its_operations_were_counted(small, tmp_path):
    """Torch marks what it first meets under a watched dispatch as never to be compiled."""
    small["train"] |= {"compile": "blocks", "steps": 2}
    torch._dynamo.reset()
    before = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nn.Module, "compile", _compile_eagerly)
        Run(build_pipeline(small), tmp_path).train()
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > before
    assert torch._dynamo.utils.counters["stats"]["calls_captured"] > 20


def _compile_eagerly(module):
    """Compiled in all but the code: no compiler for C++ is needed."""
    module._compiled_call_impl = torch.compile(module._call_impl, backend="eager")
