"""Internal guidance alone and with classifier-free guidance, its interval, its head in a run."""

from __future__ import annotations

import pytest
import torch

from nanogen_align.config import InternalConfig
from nanogen_align.internal import Internal
from nanogen_core import build_pipeline, resolve
from nanogen_core.errors import Incompatible
from nanogen_core.guidance import ClassifierFree
from nanogen_core.randomness import KeyedRNG
from nanogen_core.sampling import velocity_field
from nanogen_core.settings import ClassifierFreeConfig
from nanogen_core.specs import LatentSpec
from nanogen_core.tensors import Condition, Prediction, State, Times
from nanogen_core.testing import GuidanceContract
from nanogen_flow.config import FlowConfig
from nanogen_flow.objective import Flow
from nanogen_train.logging import metrics_log
from nanogen_train.trainer.loop import Run

NULL = Condition(torch.zeros(2, 1, 3))
LABELS = Condition(torch.eye(3)[:2, None])
STATE = State(torch.zeros(2, 1, 2, 2), torch.zeros(2, 5))


def net(state, times, condition):
    """Predicts 1 + the class number; the internal head half of it, the class token ten times it."""
    number = (condition.tokens @ torch.tensor([1.0, 2.0, 3.0])).reshape(-1)  # 0 for the null condition
    full = (1 + number)[:, None, None, None].expand(-1, 1, 2, 2)
    token = 10 * (1 + number)[:, None].expand(-1, 5)
    return Prediction(State(full, token), heads={"internal": State(0.5 * full)})


def at(time, size=2):
    return Times(torch.full((size,), time), torch.zeros(size))


def guided(*wrappers, time=0.5, condition=LABELS):
    velocity_fn = net
    for wrapper in wrappers:
        velocity_fn = wrapper.wrap(velocity_fn, NULL)
    value = velocity_fn(STATE, at(time), condition).value
    return value.latent[:, 0, 0, 0].tolist(), value.cls_token[:, 0].tolist()


class TestContract(GuidanceContract):
    @pytest.fixture
    def guidance(self):
        return Internal(InternalConfig())


class TestContractWithBothScales(GuidanceContract):
    @pytest.fixture
    def guidance(self):
        return Internal(InternalConfig(scale=1.4, null_scale=1.2))


def test_internal_guidance_by_hand_leaves_the_class_token():
    latent, token = guided(Internal(InternalConfig(scale=3.0)))
    assert latent == [0.5 * 2 + 3 * (2 - 1), 1.5 + 3 * (3 - 1.5)]
    assert token == [20, 30]


def test_under_classifier_free_guidance_both_branches_are_guided():
    """The scale 3 gives 0.5 + 3 * 0.5 = 2 times the full prediction in both branches."""
    latent, token = guided(Internal(InternalConfig(scale=3.0)), ClassifierFree(ClassifierFreeConfig(scale=4.0)))
    assert latent == [2 + 4 * (4 - 2), 2 + 4 * (6 - 2)]
    assert token == [10 + 4 * 10, 10 + 4 * 20]


def test_the_unconditional_branch_may_have_its_own_scale():
    cfg = ClassifierFree(ClassifierFreeConfig(scale=4.0))
    latent, _ = guided(Internal(InternalConfig(scale=3.0, null_scale=1.0)), cfg)
    assert latent == [1 + 4 * (4 - 1), 1 + 4 * (6 - 1)]


def test_an_empty_caption_keeps_the_scale_of_the_conditional_branch():
    cfg = ClassifierFree(ClassifierFreeConfig(scale=4.0))
    latent, _ = guided(Internal(InternalConfig(scale=3.0, null_scale=1.0)), cfg, condition=NULL)
    assert latent == [1 + 4 * (2 - 1)] * 2


@pytest.mark.parametrize(("time", "active"), [(0.2, True), (0.8, True), (0.19, False), (0.81, False)])
def test_the_interval_is_closed_and_tested_on_the_start(time, active):
    latent, _ = guided(Internal(InternalConfig(scale=3.0, t_min=0.2, t_max=0.8)), time=time)
    assert latent == ([4.0, 6.0] if active else [2.0, 3.0])


def test_a_scale_of_one_is_no_guidance_and_with_scale_sets_both():
    internal = Internal(InternalConfig(scale=3.0, null_scale=2.0))
    assert guided(internal.with_scale(1.0))[0] == [2.0, 3.0]
    assert internal.with_scale(1.5).config == InternalConfig(scale=1.5)


def test_with_data_prediction_it_is_the_repa_guidance_of_raev2():
    """arXiv 2605.18324, equation 3: data = full + w (full - head), then v = (x_t - data) / t. The scale is 1 + w."""
    flow = Flow(FlowConfig(prediction="x"), latent=LatentSpec(3, 4, 4))
    x, full, head = (KeyedRNG(0, range(2)).normal(name, (3, 4, 4)) for name in ("x", "full", "head"))
    network = lambda *_: Prediction(State(full), heads={"internal": State(head)})  # noqa: E731
    internal = Internal(InternalConfig(scale=1.78, t_min=0.1))
    found = internal.wrap(velocity_field(flow, network), NULL)(State(x), at(0.6), LABELS).value
    assert torch.allclose(found.latent, (x - (full + 0.78 * (full - head))) / 0.6, atol=1e-5)


def test_it_needs_a_backbone_with_an_internal_head(small):
    class Plain(torch.nn.Module):
        pass

    with pytest.raises(Incompatible, match="guidance 'internal' needs a backbone that provides 'internal-head'"):
        resolve({**small, "backbone": Plain(), "guidance": {"internal": {}}})


def test_a_pipeline_that_was_trained_without_the_head_refuses_it(small):
    pipeline = build_pipeline(small).reconfigured({"guidance": {"internal": {"scale": 1.4}}})
    with pytest.raises(Incompatible, match="guidance.internal: this network was built without an internal head"):
        pipeline.generate([1], guidance=None)


@pytest.mark.parametrize(("task", "asked"), [("imagenet", 1), ("t2i", "a red apple")])
def test_choosing_it_builds_and_trains_the_head_and_goes_inside_cfg(small, tmp_path, task, asked):
    small |= {"task": task, "guidance": {"cfg": {"scale": 2.0, "t_max": 1.0}, "internal": {"scale": 1.4}}}
    pipeline = build_pipeline(small)
    assert list(pipeline.guidance) == ["internal", "cfg"]
    assert pipeline.backbone.internal_head is not None
    trained = Run(pipeline, tmp_path).train()
    assert metrics_log.read(tmp_path)[-1]["internal"] > 0
    full, plain = (trained.generate([asked], guidance=g, tensors=True) for g in (None, {"internal": 1.0}))
    assert not torch.equal(full, plain)


def test_by_default_it_guides(small):
    assert resolve({**small, "guidance": "internal"}).groups["guidance"]["internal"].config.scale == 1.78
