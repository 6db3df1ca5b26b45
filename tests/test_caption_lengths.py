"""Training pads captions to the batch's longest, rounded up to one of eight lengths."""

import pytest
import torch

from nanogen_core import build_pipeline
from nanogen_core.randomness import KeyedRNG
from nanogen_core.tensors import Batch
from nanogen_data.testing.fakes.conditioner import TinyTexts, TinyTextsConfig
from nanogen_train.logging.flops import FlopCount
from nanogen_train.stages.build import stage_of
from nanogen_train.stages.lengths import bucket_length
from tests.derivatives import derivatives_of
from tests.weights import draw_weights

LENGTH = 64
CAPTIONS = ["a cat", "", "a dog on a chair", "nine red apples"]  # up to 16 letters


def stage(small, objective):
    small.update(task="t2i", objective=objective, dataset={"name": "openmoji", "train": 8, "val": 4})
    small["backbone"] = {"name": "lightning-dit", "hidden": 32, "depth": 2, "heads": 2}
    pipeline = build_pipeline(small, conditioner=TinyTexts(TinyTextsConfig(length=LENGTH)))
    draw_weights(pipeline.backbone)
    return stage_of(pipeline)


def loss_and_flops(stage, batch):
    """Return the loss, the gradients and the FLOPs of a training step."""
    stage.nets.zero_grad()
    with FlopCount() as count:
        losses = stage.loss("student", batch, KeyedRNG(0, range(len(CAPTIONS))))
        losses.total.backward()
    gradients = {name: p.grad.clone() for name, p in stage.parameters_of("student")}
    return losses.total.detach(), gradients, count.with_gradient + count.without_gradient


@pytest.mark.parametrize("objective", ["flow", {"name": "meanflow", "probability": 1.0}], ids=["flow", "meanflow"])
def test_trimmed_captions_have_the_losses_of_padded_ones_for_less_work(small, objective):
    tested = stage(small, objective)
    derivatives = derivatives_of(tested.pipeline.objective)
    shorter = tested.pipeline.conditioner.encode(Batch(torch.arange(4), captions=CAPTIONS))
    latents = torch.randn(4, *tested.pipeline.latent.shape)
    batch = Batch(torch.arange(4), latents=latents, condition=shorter)
    shorter_loss, shorter_gradients, fewer = loss_and_flops(tested, batch)
    loss, gradients, flops = loss_and_flops(tested, batch._replace(condition=shorter.padded(LENGTH)))
    torch.testing.assert_close(shorter_loss, loss, rtol=1e-6, atol=0)
    torch.testing.assert_close(shorter_gradients, gradients, rtol=1e-4, atol=1e-6)
    assert fewer < 0.75 * flops
    assert len(derivatives) == (0 if objective == "flow" else 2)


def test_lengths_are_rounded_up_to_eight_values():
    assert sorted({bucket_length(n, 256) for n in range(1, 257)}) == list(range(32, 257, 32))
    assert [bucket_length(n, 256) for n in (1, 32, 33, 256)] == [32, 32, 64, 256]
    for longest in (1, 5, 12, 77, 300):
        found = [bucket_length(n, longest) for n in range(1, longest + 1)]
        assert found == sorted(found)
        assert all(n <= length <= longest for n, length in enumerate(found, start=1))
        assert len(set(found)) <= 8
