"""The manifest, refused combinations, and tiny runs on both tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from nanogen_core import build_pipeline, resolve
from nanogen_core.errors import Incompatible
from nanogen_core.registry import Offer, registry
from nanogen_core.specs import Component
from nanogen_core.testing import PluginContract
from nanogen_train.trainer.loop import Run

METHODS = ("meanflow", "improved-meanflow", "pixel-meanflow")
PROMPTS = {"imagenet": [0, 1], "t2i": ["a red circle", "a star"]}


class TestPlugin(PluginContract):
    @pytest.fixture
    def manifest(self) -> str:
        return "nanogen_meanflow.plugin"


@pytest.mark.parametrize("task", ["imagenet", "t2i"])
@pytest.mark.parametrize("method", METHODS)
def test_methods_sample_in_one_step_without_guidance(small: dict[str, Any], task: str, method: str) -> None:
    resolved = resolve({**small, "task": task, "method": method})
    assert resolved.slots["sampler"].config.steps == 1
    assert not resolved.groups["guidance"]


@pytest.mark.parametrize("task", ["imagenet", "t2i"])
@pytest.mark.parametrize("method", ["meanflow", "improved-meanflow"])
def test_a_tiny_run_samples_in_one_step_and_in_two(
    small: dict[str, Any], tmp_path: Path, task: str, method: str
) -> None:
    built = build_pipeline({**small, "task": task, "method": method, "objective": {"probability": 0.5},
                            "tokenizer": "openmoji-vae"})  # fmt: skip
    trained = Run(built, tmp_path).train()
    one, two = (trained.generate(PROMPTS[task], steps=steps, tensors=True) for steps in (None, 2))
    assert one.shape == two.shape == (2, 3, 16, 16)
    assert one.isfinite().all()
    assert not torch.equal(one, two)


def test_pixels_train_and_sample_in_one_step(small: dict[str, Any], tmp_path: Path) -> None:
    built = build_pipeline({**small, "method": "pixel-meanflow", "tokenizer": "pixel"})
    images = Run(built, tmp_path).train().generate([3], tensors=True)
    assert images.shape == (1, 3, 16, 16)
    assert images.isfinite().all()


def test_a_backbone_without_two_times_is_refused(small: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    one_time = Component(kind="backbone", name="lightning-dit", target="nowhere:Net", provides={"jvp"})
    _replace(monkeypatch, one_time)
    with pytest.raises(Incompatible, match=r"'meanflow' needs a backbone that provides 'two-time'.*'ddt'"):
        resolve({**small, "method": "meanflow", "backbone": "lightning-dit"})


def test_reg_is_refused_with_the_reason(small: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    _replace(monkeypatch, Component(kind="auxiliary", name="some-reg", target="nowhere:REG", provides={"cls-token"}))
    with pytest.raises(Incompatible, match=r"class token \(REG\).*average velocity.*`objective: flow`"):
        resolve({**small, "method": "improved-meanflow", "auxiliary": "some-reg"})
    resolve({**small, "objective": "flow", "auxiliary": "some-reg"})


def test_a_second_backward_pass_of_a_compiled_network_is_refused(small: dict[str, Any]) -> None:
    small["train"]["compile"] = "blocks"
    with pytest.raises(Incompatible, match=r"torch.compile.*`derivative: forward`"):
        resolve({**small, "method": "meanflow"})
    resolve({**small, "method": "meanflow", "objective": {"derivative": "forward"}})


def test_a_second_backward_pass_of_fsdp_blocks_is_refused(small: dict[str, Any]) -> None:
    small["train"]["strategy"] = "fsdp"
    with pytest.raises(Incompatible, match=r"FSDP frees.*`train.shard_by: step`.*derivative: forward"):
        resolve({**small, "method": "meanflow"})
    resolve({**small, "method": "meanflow", "objective": {"derivative": "forward"}})
    resolve({**small, "method": "meanflow", "train": {**small["train"], "shard_by": "step"}})


def _replace(monkeypatch: pytest.MonkeyPatch, component: Component) -> None:
    """Put a component into the registry as if a plugin offered it."""
    offers = registry().components[component.kind]
    monkeypatch.setitem(offers, component.name, (Offer(component, "nanogen-test"),))  # type: ignore[arg-type]
