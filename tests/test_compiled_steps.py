"""Whole networks are compiled without a graph break, in the training step of each first-party method.

MeanFlow's default `derivative: exact` cannot be compiled, and its `forward` computes du/dt itself eagerly.
"""

import pytest
import torch
from torch import nn

from nanogen_core import build_pipeline
from nanogen_train.distributed.blocks import COMPILERS
from nanogen_train.trainer.loop import Run
from tests.derivatives import derivatives_of
from tests.weights import draw_weights

REG = {"auxiliary": {"reg": {"teacher": "openmoji-classifier", "token": "mean"}}, "image_size": 64}
REPA = {"auxiliary": {"repa": {"teacher": "openmoji-classifier", "block": 1}}, "image_size": 64}
METHODS = {
    "flow": {"objective": "flow"},
    "flow-dit": {"backbone": {"name": "dit", "hidden": 16, "depth": 2, "heads": 1}},
    "flow-ddt": {
        "backbone": {
            "name": "ddt",
            "hidden": 16,
            "depth": 1,
            "heads": 1,
            "decoder_hidden": 16,
            "decoder_depth": 1,
            "decoder_heads": 1,
        }
    },
    "x-prediction": {"objective": {"name": "flow", "prediction": "x"}},
    "meanflow-forward": {"objective": {"name": "meanflow", "derivative": "forward", "probability": 1.0}},
    "meanflow-central": {"objective": {"name": "meanflow", "derivative": "central", "probability": 1.0}},
    "improved-meanflow": {"objective": {"name": "improved-meanflow", "derivative": "backward"}},
    "meanflow-cfg-conditioned": {"objective": {"name": "meanflow-cfg-conditioned", "derivative": "backward"}},
    "reg": REG,
    "repa": REPA,
}
BLOCKS = {"name": "lightning-dit", "hidden": 16, "depth": 2, "heads": 1, "patch_size": 1}
ROUTE = {**BLOCKS, "depth": 3, "route_from": 2, "route_to": 2}
CLASS_CONDITIONAL = {  # tested with class labels only
    "edm": {"objective": "edm"},
    "trigflow": {"objective": "trigflow"},
    "scm": {"objective": {"name": "scm", "derivative": "backward"}},
    "alphaflow": {"objective": {"name": "alphaflow", "derivative": "backward", "probability": 1.0, "alpha_end": 2}},
    "drifting": {
        "objective": "one-step",
        "sampler": {"name": "euler", "steps": 1},
        "stage": {
            "name": "drifting",
            "generated": 4,
            "positives": 4,
            "unconditional": 2,
            "bank_size": 4,
            "queue_size": 16,
        },
    },
    "self-flow": {
        "backbone": BLOCKS,
        "objective": "self-flow",
        "auxiliary": {"self-flow": {"block": 1, "teacher_block": 2}},
    },
    "contrastive": {"objective": "contrastive-flow"},
    "sra": {"backbone": BLOCKS, "auxiliary": {"sra": {"block": 1, "teacher_block": 2}}},
    "repa-e": {
        "stage": {"name": "repa-e", "perceptual": "none"},
        "tokenizer": {"name": "batch-norm-vae", "vae": "openmoji-vae"},
        "auxiliary": {"repa": {"teacher": "openmoji-classifier", "block": 1, "mlp_width": 16}},
    },
    "jit": {"backbone": {"name": "jit", "hidden": 16, "depth": 1, "heads": 1}, "tokenizer": "scaled-pixel"},
    "pixel": {"tokenizer": "pixel", "objective": {"name": "flow", "prediction": "x"}},
    "tread": {"backbone": {**ROUTE, "name": "tread-lightning-dit"}},
    "sprint": {"backbone": {**ROUTE, "name": "sprint-lightning-dit"}},
}
CASES = [(name, task) for name in METHODS for task in ("imagenet", "t2i")]
CASES += [(name, "imagenet") for name in CLASS_CONDITIONAL]


@pytest.fixture
def fullgraph(monkeypatch):
    """Compile with `fullgraph=True`, which raises at a graph break. The code generator is left out."""
    compiled = []

    def compile_whole(module, **options):
        compiled.append(module)
        module._compiled_call_impl = torch.compile(module._call_impl, backend="eager", fullgraph=True)

    monkeypatch.setattr(nn.Module, "compile", compile_whole)
    torch._dynamo.reset()
    yield compiled
    torch._dynamo.reset()


@pytest.mark.parametrize(("method", "task"), CASES)
def test_a_step_has_no_graph_break(small, tmp_path, fullgraph, method, task):
    small["backbone"] |= {"depth": 2 if method in METHODS else 1}
    changes = {**METHODS, **CLASS_CONDITIONAL}[method]
    torch._dynamo.utils.counters.clear()
    losses = {}
    for mode in ("none", "model"):
        settings = {**small["train"], "compile": mode, "log_every": 1}
        pipeline = build_pipeline({**small, "task": task, **changes, "train": settings})
        draw_weights(pipeline.backbone)
        derivatives = derivatives_of(pipeline.objective)
        run = Run(pipeline, tmp_path / mode)
        read = run._prepare(next(pipeline.task.batches("train", 8, seed=0)))
        for _ in range(3):  # the first step counts FLOPs, eagerly; AlphaFlow goes through its curriculum
            run._one_step(read)
        assert bool(derivatives) == ("derivative" in str(changes))
        losses[mode] = [scalars["loss"] for scalars in run.metrics.pending()]
    assert losses["model"] == pytest.approx(losses["none"], rel=1e-5)
    assert run.pipeline.backbone in fullgraph
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0
    assert torch._dynamo.utils.counters["graph_break"] == {}


def test_networks_that_only_sample_have_no_cuda_graphs(monkeypatch):
    modes = []
    monkeypatch.setattr(nn.Module, "compile", lambda net, mode: modes.append(mode))
    for net in (nn.Linear(2, 2), nn.Linear(2, 2).requires_grad_(False)):
        COMPILERS["max-autotune"](net)
    assert modes == ["max-autotune", "max-autotune-no-cudagraphs"]


def test_a_graph_break_is_found(fullgraph):
    class Breaks(nn.Module):
        def forward(self, x):
            torch._dynamo.graph_break()
            return 2 * x

    net = Breaks()
    net.compile()
    with pytest.raises(torch._dynamo.exc.Unsupported):
        net(torch.ones(2))
