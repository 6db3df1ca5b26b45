"""The null text from end to end: training with dropped captions, guided sampling, the empty caption, MeanFlow."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import torch
import webdataset
from PIL import Image

from nanogen_core import Pipeline, build_pipeline
from nanogen_core.randomness import KeyedRNG
from nanogen_core.tensors import Condition, Prediction, State, Times
from nanogen_core.testing.comparison import fill_zero_parameters
from nanogen_train.trainer.loop import Run

torch.set_num_threads(1)

CAPTIONS = ["a red apple", "two cats", "a dog left of a car", "rain"]
OBJECTIVES: dict[str, Any] = {
    "flow": {"objective": "flow", "guidance": {"cfg": {"scale": 6.0}}},
    "meanflow": {"objective": {"name": "meanflow", "probability": 1.0}},
    "improved-meanflow": {"objective": {"name": "improved-meanflow", "probability": 1.0}},
}
BACKBONES: dict[str, Any] = {
    "lightning-dit": {"name": "lightning-dit", "hidden": 16, "depth": 2, "heads": 1},
    "ddt": {"name": "ddt", "hidden": 16, "depth": 1, "heads": 1, "decoder_hidden": 16, "decoder_depth": 1,
            "decoder_heads": 1},
}  # fmt: skip


@pytest.fixture
def config(qwen: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """A text-to-image model of the smallest size on four captions."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for split in ("train", "val"):
        (tmp_path / "tars" / split).mkdir(parents=True)
        with webdataset.TarWriter(str(tmp_path / "tars" / split / "0.tar")) as tar:
            for number, caption in enumerate(CAPTIONS):
                data = BytesIO()
                Image.effect_noise((20, 24), 90 - number).convert("RGB").save(data, "PNG")
                tar.write({"__key__": str(number), "png": data.getvalue(), "txt": caption})

    def make(objective: str = "flow", backbone: str = "lightning-dit", dropout: float = 0.5) -> dict[str, Any]:
        return {
            "task": "t2i",
            "image_size": 16,
            "dataset": {"name": "webdataset", "root": str(tmp_path / "tars")},
            "encoder": {"name": "hf-text", "path": str(qwen), "max_length": 24},
            "tokenizer": "pixel",
            "backbone": {**BACKBONES[backbone], "patch_size": 4},
            "stage": {"name": "diffusion", "condition_dropout": dropout},
            "sampler": {"name": "euler", "steps": 2},
            "train": {"steps": 2, "batch_size": 4, "precision": "fp32", "sample_every": 0, "checkpoint_every": 0},
            **OBJECTIVES[objective],
        }

    return make


def built(config: dict[str, Any]) -> Pipeline:
    pipeline = build_pipeline(config)
    fill_zero_parameters(pipeline.backbone)  # output layers start at zero
    return pipeline


class Asked(torch.nn.Module):
    """Records the conditions that a network is given. With `without` the network gets no condition token at all."""

    def __init__(self, net: torch.nn.Module, without: bool = False):
        super().__init__()
        self.net, self.without = net, without
        self.conditions: list[Condition] = []

    def forward(self, state: State, times: Times, condition: Condition, intermediates: Any = ()) -> Prediction:
        self.conditions.append(condition)
        if self.without:
            condition = Condition(condition.tokens[:, :0])
        return self.net(state, times, condition, intermediates)


def step(pipeline: Pipeline, net: torch.nn.Module, folder: Path) -> torch.Tensor:
    """The loss of one training step through `net`."""
    run = Run(pipeline, folder)
    run.stage.nets["student"] = net
    batch = run.stage.prepare(next(pipeline.task.batches("train", 4)), 0)
    return run.stage.loss("student", batch, KeyedRNG(0, range(4))).total


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_dropped_captions_train_as_if_there_were_no_condition_tokens(
    objective: str, backbone: str, config: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    """A sequence of image and time tokens alone gives the same loss and the same gradient."""
    found = []
    for without in (False, True):
        pipeline = built(config(objective, backbone, dropout=1.0))
        net = Asked(pipeline.backbone, without)
        loss = step(pipeline, net, tmp_path / str(without))
        loss.backward()
        assert all(condition.mask is not None and not condition.mask.any() for condition in net.conditions)
        gradients = {name: p.grad for name, p in pipeline.backbone.named_parameters() if ".condition." not in name}
        found.append((loss.detach(), gradients))
    (masked, ours), (absent, theirs) = found
    torch.testing.assert_close(masked, absent, rtol=1e-5, atol=1e-6)
    assert masked > 0
    assert any(gradient.abs().max() > 0 for gradient in ours.values() if gradient is not None)
    for name, gradient in ours.items():
        torch.testing.assert_close(gradient, theirs[name], rtol=1e-4, atol=1e-6, msg=name)


def test_only_dropped_rows_are_masked(config: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    pipeline = built(config(dropout=0.5))
    net = Asked(pipeline.backbone)
    assert step(pipeline, net, tmp_path / "run").isfinite()
    (condition,) = net.conditions
    assert condition.mask is not None
    assert condition.null is not None
    assert condition.null.any()
    assert not condition.null.all()
    assert torch.equal(condition.mask.any(dim=1), ~condition.null)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_guided_sampling_has_an_unconditional_branch_without_condition_tokens(
    backbone: str, config: Callable[..., dict[str, Any]]
) -> None:
    pipeline = built(config("flow", backbone))
    net = Asked(pipeline.backbone)
    batch = pipeline.task.make_batch(["two cats", "a red apple"])
    plain, guided = (pipeline.with_parts(backbone=net).sample(batch, guidance=w) for w in (1.0, 6.0))
    assert guided.isfinite().all()
    assert not torch.equal(plain, guided)
    for condition in net.conditions[-2:]:  # both steps of the guided run: conditional rows, then unconditional ones
        assert condition.mask is not None
        assert condition.mask.any(dim=1).tolist() == [True, True, False, False]


@pytest.mark.parametrize("backbone", BACKBONES)
def test_an_empty_caption_is_sampled_and_guidance_leaves_it_alone(
    backbone: str, config: Callable[..., dict[str, Any]]
) -> None:
    pipeline = built(config("flow", backbone))
    plain, guided = (pipeline.generate(["", ""], guidance=w, tensors=True) for w in (1.0, 6.0))
    assert guided.isfinite().all()
    torch.testing.assert_close(guided, plain, rtol=1e-4, atol=1e-5)
    mixed = pipeline.generate(["", "two cats"], tensors=True)  # beside a longer caption
    torch.testing.assert_close(mixed[0], plain[0], rtol=1e-4, atol=1e-5)
    asked = pipeline.with_parts(backbone=Asked(pipeline.backbone, without=True))
    without = asked.sample(pipeline.task.make_batch(["", ""]), guidance=1.0)
    torch.testing.assert_close(without, plain, rtol=1e-4, atol=1e-5)
