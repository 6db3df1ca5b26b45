"""A component may leave a slot empty: a stage that trains no backbone has none."""

import pytest
import torch

from nanogen_core import build_pipeline
from nanogen_core.config import resolve
from nanogen_core.errors import Incompatible, NanoGenError

STAGE_1 = {
    "task": "imagenet",
    "method": "rae",
    "dataset": "openmoji",
    "image_size": 64,
    "tokenizer": {"name": "rae", "encoder": "openmoji-classifier", "decoder": {"size": "tiny"}},
    "stage": {"name": "rae-decoder", "discriminator": "none", "perceptual": "encoder"},
}


def test_the_slot_is_empty_whatever_the_method_names():
    resolved = resolve(STAGE_1)
    assert "backbone" not in resolved.slots
    again = resolve(resolved.as_dict())
    assert again.as_dict() == resolved.as_dict()


def test_needs_of_an_empty_slot_are_no_mistake():
    resolved = resolve({**STAGE_1, "objective": "meanflow"})  # which needs a backbone with two times
    assert resolved.slots["objective"].name == "meanflow"


def test_another_stage_has_its_backbone():
    assert resolve({**STAGE_1, "stage": "diffusion"}).slots["backbone"].name == "ddt"


def test_an_object_for_the_empty_slot_is_refused():
    with pytest.raises(Incompatible, match="backbone: stage 'rae-decoder' uses no backbone; leave out the object"):
        resolve(STAGE_1, {"backbone": torch.nn.Linear(1, 1)})


def test_it_draws_nothing_and_saves_no_weights_of_it(tmp_path):
    pipeline = build_pipeline(STAGE_1)
    assert pipeline.backbone is None
    with pytest.raises(NanoGenError, match=r"no backbone, because stage 'rae-decoder' trains another part"):
        pipeline.generate(0)
    assert not (pipeline.save(tmp_path / "saved") / "backbone.safetensors").exists()
