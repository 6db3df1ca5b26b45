"""Pictures are made in evaluation mode, and every module is afterwards in the mode that it had."""

import pytest
import torch
from torch import nn

from nanogen_core import Pipeline, build_pipeline
from nanogen_core.errors import NanoGenError
from nanogen_core.eval_mode import eval_mode


class Noisy(nn.Module):
    """A backbone with dropout, which differs between the two modes."""

    def __init__(self, inner):
        super().__init__()
        self.inner, self.dropout = inner, nn.Dropout(0.5)

    def forward(self, state, times, condition, intermediates=()):
        found = self.inner(state, times, condition, intermediates)
        return found._replace(value=found.value.map(lambda x: self.dropout(x + 1)))


@pytest.fixture
def noisy(small):
    built = build_pipeline(small)
    return build_pipeline({**small, "backbone": Noisy(built.backbone)})


def test_pictures_are_made_in_evaluation_mode_and_the_mode_comes_back(noisy):
    noisy.backbone.train()
    noisy.backbone.inner.eval()
    first, second = (noisy.generate(["dog"], tensors=True) for _ in range(2))
    assert torch.equal(first, second)  # dropout would draw anew
    noisy.backbone.eval()
    assert torch.equal(first, noisy.generate(["dog"], tensors=True))
    noisy.backbone.train()
    noisy.backbone.inner.eval()
    noisy.generate(["dog"])
    assert (noisy.backbone.training, noisy.backbone.inner.training) == (True, False)


def test_the_mode_comes_back_after_an_error(noisy):
    noisy.backbone.train()
    with pytest.raises(NanoGenError):
        noisy.generate(["dog"], steps=2, guidance={"nothing": 1.0})
    assert noisy.backbone.training


def test_a_loaded_pipeline_makes_pictures_in_evaluation_mode(small, tmp_path, monkeypatch):
    build_pipeline(small).save(tmp_path)
    loaded = Pipeline.load(tmp_path)
    seen = []
    loaded.backbone.register_forward_hook(lambda module, *_: seen.append(module.training))
    loaded.generate(["dog"])
    assert seen
    assert not any(seen)


def test_modules_inside_a_part_that_is_no_module():
    class Part:
        def __init__(self):
            self.net = nn.Linear(1, 1)

    part = Part()
    with eval_mode(part, None, 3):
        assert not part.net.training
    assert part.net.training


@pytest.mark.parametrize("part", ["backbone", "objective", "tokenizer", "guidance", "sampler"])
def test_a_part_cannot_be_replaced(small, part):
    pipeline = build_pipeline(small)
    with pytest.raises(
        NanoGenError, match=rf"part '{part}' of a pipeline cannot be replaced.*build_pipeline\(..., {part}=...\)"
    ):
        setattr(pipeline, part, getattr(pipeline, part))


@pytest.mark.parametrize("name", ["config", "parts", "latent", "learned"])
def test_what_is_no_option_of_build_pipeline_gets_other_advice(small, name):
    pipeline = build_pipeline(small)
    with pytest.raises(NanoGenError, match=r"cannot be replaced.*`build_pipeline\(pipeline.config, \.\.\.\)`"):
        setattr(pipeline, name, getattr(pipeline, name))


def test_a_guidance_cannot_be_added_to_a_pipeline(small):
    with pytest.raises(TypeError, match="item assignment"):
        build_pipeline(small).guidance["cfg"] = None
