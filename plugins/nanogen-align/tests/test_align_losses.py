"""REPA, iREPA and REG against their equations, and their errors."""

from __future__ import annotations

import gc

import pytest
import torch
import torch.nn.functional as F

from nanogen_align.config import IRepaConfig, RegConfig, RepaConfig
from nanogen_align.grids import resampled
from nanogen_align.irepa import IRepa, spatially_normalised
from nanogen_align.probe import intermediate_shape
from nanogen_align.reg import Reg
from nanogen_align.repa import Repa
from nanogen_align.teacher import Teacher, teacher_of
from nanogen_core import build_pipeline, resolve
from nanogen_core.errors import ConfigError, Incompatible, NanoGenError
from nanogen_core.randomness import KeyedRNG
from nanogen_core.specs import ConditionSpec, LatentSpec
from nanogen_core.tensors import Batch, Condition, ForwardPass, Prediction, State, Times
from nanogen_core.testing import PluginContract
from nanogen_data.testing.fakes import TinyBackbone, TinyBackboneConfig
from nanogen_dit.config import DDTConfig, LightningDiTConfig
from nanogen_dit.ddt import DDT
from nanogen_dit.lightning_dit import LightningDiT

LATENT = LatentSpec(4, 8, 8, factor=2)
CLEAN = State(torch.zeros(2, *LATENT.shape))
WITH_TOKEN = LatentSpec(4, 8, 8, factor=2, cls_token_width=12)
LABELS = ConditionSpec(11, 1, learned=2)
TEXTS = ConditionSpec(7, 5, normalize=True, padded=True)
TEACHER = {"name": "tiny-vision"}
RNG = KeyedRNG(0, range(2))
CONDITION = Condition(torch.zeros(2, 1, 1))
IMAGES = Batch(torch.arange(2), images=torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1)


@pytest.fixture
def manifest() -> str:
    return "nanogen_align.plugin"


class TestPlugin(PluginContract):
    pass


def dit(latent=LATENT, condition=LABELS):
    return LightningDiT(
        LightningDiTConfig(hidden=16, depth=2, heads=2, patch_size=2), latent=latent, condition=condition
    )


def repa(latent=LATENT, **options):
    config = RepaConfig(teacher=TEACHER, block=2, **options)
    return Repa(config, backbone=dit(latent), latent=latent, condition=LABELS)


def forward_pass(**features):
    state = State(torch.zeros(2, *LATENT.shape))
    return ForwardPass(state, Times(torch.ones(2), torch.ones(2)), Prediction(state, features), state, state, CONDITION)


def looked(loss):
    return IMAGES._replace(images=None, extras=loss.prepare(IMAGES))


def test_the_shape_of_an_intermediate():
    ddt = DDTConfig(hidden=16, depth=2, heads=2, decoder_hidden=24, decoder_depth=1, decoder_heads=2, patch_size=1)
    network = DDT(ddt, latent=WITH_TOKEN, condition=TEXTS, wanted=frozenset({"two-time"}))
    assert intermediate_shape(network, "block.2", WITH_TOKEN, TEXTS) == (64, 16)
    assert intermediate_shape(network, "block.3", WITH_TOKEN, TEXTS) == (64, 24)  # the decoder's
    assert intermediate_shape(dit(), "block.1", LATENT, LABELS) == (16, 16)
    tiny = TinyBackbone(TinyBackboneConfig(width=9), latent=LATENT, condition=TEXTS)
    assert intermediate_shape(tiny, "block.1", LATENT, TEXTS) == (64, 9)
    assert next(network.parameters()).device.type == "cpu"


def test_a_block_that_does_not_exist_is_named():
    with pytest.raises(NanoGenError, match="no intermediate 'block.8'. Use 'block.1' to 'block.2'"):
        Repa(RepaConfig(teacher=TEACHER), backbone=dit(), latent=LATENT, condition=LABELS)


def test_repa_is_half_the_squared_error_of_a_linear_map():
    loss, tokens = repa(), torch.randn(2, 16, 16)
    patches, _ = loss.teacher.encoder.encode(IMAGES.images)
    weight, bias = loss.nets.weight, loss.nets.bias
    expected = (tokens @ weight.T + bias - patches).square().mean()
    found = loss.loss(forward_pass(**{"block.2": tokens}), CLEAN, looked(loss), {}, RNG)
    torch.testing.assert_close(found.total, 0.5 * expected)
    torch.testing.assert_close(found.parts["distance"], expected.detach())
    found.total.backward()
    assert weight.grad.abs().sum() > 0


def test_repa_of_the_paper_is_cosine_similarity_of_three_layers():
    loss, tokens = repa(projector="mlp", mlp_width=5, distance="cosine"), torch.randn(2, 16, 16)
    first, _, second, _, third = loss.nets
    projected = third(F.silu(second(F.silu(first(tokens)))))
    patches, _ = loss.teacher.encode(IMAGES.images)
    a, b = F.normalize(projected, dim=-1), F.normalize(patches, dim=-1)
    found = loss.loss(forward_pass(**{"block.2": tokens}), CLEAN, looked(loss), {}, RNG).total
    torch.testing.assert_close(found, -0.5 * (a * b).sum(-1).mean())


def test_with_reg_the_token_is_aligned_too_and_comes_first():
    loss = repa(WITH_TOKEN)
    assert loss.intermediates == ("block.2.cls_token", "block.2")
    tokens, token = torch.randn(2, 16, 16), torch.randn(2, 16)
    patches, class_token = loss.teacher.encode(IMAGES.images)
    clean = State(torch.zeros(2, *LATENT.shape), class_token)
    sum_of_squares = (loss.nets(tokens) - patches).square().sum() + (loss.nets(token) - class_token).square().sum()
    found = loss.loss(forward_pass(**{"block.2": tokens, "block.2.cls_token": token}), clean, looked(loss), {}, RNG)
    torch.testing.assert_close(found.parts["distance"], (sum_of_squares / (2 * 17 * 12)).detach())


def test_a_teacher_on_another_grid_is_resampled():
    tokens = torch.randn(2, 4, 3)
    assert resampled(tokens, 4) is tokens
    constant = torch.ones(1, 9, 3) * torch.tensor([1.0, 2.0, 3.0])
    torch.testing.assert_close(resampled(constant, 16), torch.ones(1, 16, 3) * torch.tensor([1.0, 2.0, 3.0]))
    ramp = torch.arange(16.0).reshape(1, 16, 1)  # halving a row-major ramp keeps its order and its mean
    half = resampled(ramp, 4)[0, :, 0]
    assert half.tolist() == sorted(half.tolist())
    assert half.mean() == pytest.approx(7.5)


def test_irepa_normalises_over_space_and_convolves():
    loss = IRepa(IRepaConfig(teacher=TEACHER, block=1), backbone=dit(), latent=LATENT, condition=LABELS)
    patches, _ = loss.teacher.encode(IMAGES.images)
    grid = patches.reshape(2, 4, 4, 12)
    expected = (grid - 0.6 * grid.mean((1, 2), keepdim=True)) / grid.std((1, 2), keepdim=True)
    batch = looked(loss)
    torch.testing.assert_close(batch.extras["irepa"], expected.reshape(2, 16, 12), rtol=1e-4, atol=1e-4)
    tokens = torch.randn(2, 16, 16)
    kernel, bias = loss.nets.convolution.weight, loss.nets.convolution.bias
    around = F.pad(tokens.reshape(2, 4, 4, 16), (0, 0, 1, 1, 1, 1))
    windows = torch.stack([around[:, i : i + 4, j : j + 4] for i in range(3) for j in range(3)], dim=-2)
    projected = torch.einsum("bhwkc,dck->bhwd", windows, kernel.flatten(2)) + bias
    found = loss.loss(forward_pass(**{"block.1": tokens}), None, batch, {}, RNG)
    torch.testing.assert_close(found.total, 0.5 * (projected - expected).square().mean(), rtol=1e-4, atol=1e-5)


def test_gamma_1_removes_the_mean():
    tokens = torch.randn(2, 16, 5) + 100
    torch.testing.assert_close(spatially_normalised(tokens, 1.0).mean(1), torch.zeros(2, 5), atol=1e-4, rtol=0)


def test_reg_gives_the_class_token_and_no_loss_of_its_own():
    reg = Reg(RegConfig(teacher=TEACHER))
    batch = looked(reg)
    assert reg.cls_token_width == 12
    torch.testing.assert_close(reg.cls_token(batch), reg.teacher.encoder.encode(IMAGES.images)[1])
    assert reg.loss(forward_pass(), None, batch, {}, RNG).total == 0


def test_a_teacher_without_a_class_token_is_refused_by_name():
    plain = {"name": "tiny-vision", "class_token": False}
    with pytest.raises(Incompatible, match="auxiliary.reg.teacher: .* has no class token. Choose another"):
        Reg(RegConfig(teacher=plain))
    reg = Reg(RegConfig(teacher=plain, token="mean"))
    patches, _ = reg.teacher.encode(IMAGES.images)
    torch.testing.assert_close(reg.cls_token(looked(reg)), patches.mean(dim=1))


def test_repa_and_reg_must_have_tokens_of_one_width():
    narrow = {"name": "tiny-vision", "width": 5}
    with pytest.raises(Incompatible, match="the tokens of .* have width 5, but the class token of REG has width 12"):
        Repa(RepaConfig(teacher=narrow, block=1), backbone=dit(WITH_TOKEN), latent=WITH_TOKEN, condition=LABELS)


def test_a_wrong_option_of_a_teacher_names_the_loss():
    wrong = {"name": "tiny-vision", "widht": 5}
    parts = {"backbone": dit(), "latent": LATENT, "condition": LABELS}
    for name, build in {
        "repa": lambda: Repa(RepaConfig(teacher=wrong, block=1), **parts),
        "irepa": lambda: IRepa(IRepaConfig(teacher=wrong, block=1), **parts),
        "reg": lambda: Reg(RegConfig(teacher=wrong)),
    }.items():
        with pytest.raises(ConfigError, match=rf"^auxiliary\.{name}\.teacher\.widht: unknown key"):
            build()


def test_losses_share_a_teacher_and_its_features():
    first, second = teacher_of("tiny-vision"), teacher_of({"name": "tiny-vision"})
    assert first is second
    assert teacher_of({"name": "tiny-vision", "width": 5}) is not first
    first.encode(IMAGES.images), second.encode(IMAGES.images)
    assert first.encoder.calls == 1
    first.encode(IMAGES.images.clone())
    assert first.encoder.calls == 2
    del first, second
    gc.collect()
    assert teacher_of("tiny-vision").encoder.calls == 0


def test_a_gradient_passes_through_the_teacher_to_the_images():
    images = IMAGES.images.clone().requires_grad_()
    teacher = teacher_of("tiny-vision")
    assert isinstance(teacher, Teacher)
    teacher.patches(images).square().sum().backward()
    assert images.grad.abs().sum() > 0
    assert not teacher.encode(images)[0].requires_grad


# -- in a configuration ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("teacher", "reason"),
    [
        ("tiny-vison", "auxiliary.repa.teacher: There is no vision_encoder 'tiny-vison'. Did you mean 'tiny-vision'"),
        ("tiny-text", "auxiliary.repa.teacher: There is no vision_encoder 'tiny-text'.* Installed: .*tiny-vision"),
        ({"name": "nobody"}, "There is no vision_encoder 'nobody'"),
        (3, "auxiliary.repa.teacher: expected the name of a vision encoder, or a mapping with a `name`, got 3"),
    ],
)
def test_a_wrong_teacher_is_refused_before_anything_is_built(small, teacher, reason):
    with pytest.raises(NanoGenError, match=reason):
        resolve({**small, "auxiliary": {"repa": {"teacher": teacher}}})


def test_a_backbone_without_features_is_refused(small):
    class Plain(torch.nn.Module):
        pass

    with pytest.raises(Incompatible, match="auxiliary 'repa' needs a backbone that provides 'features'"):
        resolve({**small, "backbone": Plain(), "auxiliary": {"repa": {"teacher": "tiny-vision"}}})


def test_a_misspelt_option_of_the_teacher_has_its_path(small):
    small["auxiliary"] = {"reg": {"teacher": {"name": "tiny-vision", "widht": 3}}}
    with pytest.raises(ConfigError, match="teacher.widht: unknown key. Did you mean 'width'"):
        build_pipeline(small)
