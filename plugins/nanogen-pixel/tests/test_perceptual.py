"""LPIPS and patch tokens on the predicted image: restriction to small t, weights, training."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nanogen_align.teacher import Teacher
from nanogen_align.vgg import PerceptualDistance
from nanogen_align.vgg_files import HEADS, VGG
from nanogen_core import build_pipeline, resolve
from nanogen_core.errors import DataError, Incompatible, NanoGenError
from nanogen_core.randomness import KeyedRNG
from nanogen_core.tensors import Batch, Condition, ForwardPass, Prediction, State, Times
from nanogen_pixel import patch_tokens
from nanogen_pixel.config import LpipsConfig, PatchTokensConfig
from nanogen_pixel.lpips import Lpips
from nanogen_train.logging import metrics_log
from nanogen_train.trainer.loop import Run
from tests.waits import waits

torch.set_num_threads(1)


class TinyEncoder:
    width, has_class_token = 6, False

    def __init__(self):
        torch.manual_seed(0)
        self.net = nn.Conv2d(3, 6, 4, stride=4).requires_grad_(False)

    def to(self, device):
        return self

    def forward_features(self, images):
        return self.net(images).flatten(2).transpose(1, 2), None

    encode = torch.no_grad()(forward_features)


@pytest.fixture
def teacher(monkeypatch):
    found = Teacher(TinyEncoder())
    monkeypatch.setattr(patch_tokens, "teacher_of", lambda named, path: found)
    return found


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Random weights in the layout of the published files."""
    torch.manual_seed(0)
    folder, network = tmp_path_factory.mktemp("lpips"), PerceptualDistance()
    torch.save({f"features.{name}": x.data for name, x in network.features.named_parameters()}, folder / VGG)
    heads = {f"lin{n}.model.1.weight": torch.rand(1, len(head), 1, 1) for n, head in enumerate(network.heads)}
    torch.save(heads, folder / HEADS)
    return folder


def forward_pass(denoised, times):
    state, t = State(denoised), torch.tensor(times)
    return ForwardPass(state, Times(t, t), Prediction(state), state, state, Condition(torch.zeros(len(t), 1, 1)))


IMAGES = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
DENOISED = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1
BATCH = Batch(torch.arange(3), images=IMAGES)
RNG = KeyedRNG(0, range(3))


def test_lpips_is_the_weighted_mean_over_the_batch_where_there_is_little_noise(weights):
    loss, denoised = Lpips(LpipsConfig(folder=str(weights))), DENOISED.clone().requires_grad_()
    found = loss.loss(forward_pass(denoised, [0.2, 0.7, 0.6999]), State(IMAGES), BATCH, {}, RNG)
    one, _, three = PerceptualDistance.load(str(weights))(DENOISED, IMAGES)
    torch.testing.assert_close(found.total, 0.1 * (one + three) / 3)
    torch.testing.assert_close(found.parts["distance"], (one + three) / 3)
    found.total.backward()
    assert [bool(row.abs().sum() > 0) for row in denoised.grad] == [True, False, True]


def test_patch_tokens_are_the_weighted_squared_error(teacher):
    loss, denoised = patch_tokens.PatchTokens(PatchTokensConfig()), DENOISED.clone().requires_grad_()
    batch = BATCH._replace(images=None, extras=loss.prepare(BATCH))
    found = loss.loss(forward_pass(denoised, [0.2, 0.9, 0.1]), State(IMAGES), batch, {}, RNG)
    apart = (teacher.encoder.net(DENOISED) - teacher.encoder.net(IMAGES)).square().flatten(1).mean(dim=1)
    torch.testing.assert_close(found.total, 0.01 * (apart[0] + apart[2]) / 3)
    found.total.backward()
    assert [bool(row.abs().sum() > 0) for row in denoised.grad] == [True, False, True]


def test_the_losses_do_not_wait_for_the_device(teacher, weights, monkeypatch):
    patches = patch_tokens.PatchTokens(PatchTokensConfig())
    batch = BATCH._replace(extras=patches.prepare(BATCH))
    for loss in (Lpips(LpipsConfig(folder=str(weights), crop=16)), patches):
        with waits(monkeypatch) as found:
            loss.loss(forward_pass(DENOISED, [0.2, 0.7, 0.1]), State(IMAGES), batch, {}, RNG)
        assert found == []


def test_noisy_samples_have_no_loss(teacher, weights):
    patches = patch_tokens.PatchTokens(PatchTokensConfig())
    batch = BATCH._replace(extras=patches.prepare(BATCH))
    for loss in (Lpips(LpipsConfig(folder=str(weights))), patches):
        assert loss.loss(forward_pass(DENOISED, [0.9, 0.8, 1.0]), State(IMAGES), batch, {}, RNG).total == 0


def test_lpips_of_equal_images_is_zero_and_grows_with_the_difference(weights):
    network = PerceptualDistance.load(str(weights))
    assert network(IMAGES, IMAGES).tolist() == [0, 0, 0]
    noise = torch.randn(IMAGES.shape, generator=torch.Generator().manual_seed(2))
    assert (network(IMAGES, IMAGES + 0.01 * noise) < network(IMAGES, IMAGES + 0.1 * noise)).all()


def test_lpips_by_hand(weights):
    """Convolutions and heads of the files themselves, stage by stage."""
    vgg, heads = torch.load(weights / VGG), torch.load(weights / HEADS)
    numbers = [[0, 2], [5, 7], [10, 12, 14], [17, 19, 21], [24, 26, 28]]
    shift = torch.tensor([-0.030, -0.088, -0.188])[:, None, None]
    pair = [(images - shift) / torch.tensor([0.458, 0.448, 0.450])[:, None, None] for images in (DENOISED, IMAGES)]
    expected = torch.zeros(3)
    for stage, layers in enumerate(numbers):
        for n in layers:
            weight, bias = vgg[f"features.{n}.weight"], vgg[f"features.{n}.bias"]
            pair = [torch.conv2d(x, weight, bias, padding=1).relu() for x in pair]
        f, g = (torch.nn.functional.normalize(x, dim=1) for x in pair)
        head = heads[f"lin{stage}.model.1.weight"][0]
        expected += ((f - g).square() * head).sum(1).mean((1, 2))
        pair = [torch.max_pool2d(x, min(2, x.shape[-1])) for x in pair]
    torch.testing.assert_close(PerceptualDistance.load(str(weights))(DENOISED, IMAGES), expected, rtol=1e-4, atol=1e-6)


def test_missing_weights_are_named_with_their_paths(tmp_path, weights):
    with pytest.raises(DataError, match=r"Save https://download.pytorch.org/models/vgg16-397923af.pth as .*vgg16"):
        Lpips(LpipsConfig(folder=str(tmp_path)))
    torch.save({"other": torch.zeros(1)}, tmp_path / VGG)
    (tmp_path / HEADS).symlink_to(weights / HEADS)
    with pytest.raises(DataError, match="Tensors of VGG16 or LPIPS are missing .*Missing key.*Check that the files"):
        Lpips(LpipsConfig(folder=str(tmp_path)))


def test_they_need_a_pixel_tokenizer():
    drawings = {"task": "imagenet", "dataset": "openmoji", "tokenizer": "openmoji-vae", "method": "vae"}
    with pytest.raises(Incompatible, match="auxiliary 'lpips' needs a tokenizer that provides 'pixels'"):
        resolve({**drawings, "auxiliary": "lpips"})


def test_an_unknown_encoder_is_named():
    with pytest.raises(NanoGenError, match="auxiliary.patch-tokens.teacher: There is no vision_encoder 'dinov9'"):
        resolve({"task": "imagenet", "method": "jit", "auxiliary": {"patch-tokens": {"teacher": "dinov9"}}})


def test_pixelgen_trains_on_the_drawings(teacher, weights, tmp_path, monkeypatch):
    monkeypatch.setattr("nanogen_pixel.plugin.teacher_problem", lambda path, named: None)
    pipeline = build_pipeline(
        task="imagenet",
        method="pixelgen",
        image_size=16,
        dataset={"name": "openmoji", "train": 8, "val": 8},
        backbone={"name": "lightning-dit", "hidden": 16, "depth": 1, "heads": 1, "patch_size": 4},
        auxiliary={"lpips": {"folder": str(weights)}},
        sampler={"name": "euler", "steps": 1},
        train={"steps": 2, "batch_size": 4, "precision": "fp32", "log_every": 1, "sample_count": 1},
    )
    Run(pipeline, tmp_path).train()
    entry = metrics_log.read(tmp_path)[-1]
    assert entry["lpips"] > 0
    assert entry["loss"] == pytest.approx(entry["flow"] + entry["lpips"] + entry["patch-tokens"], rel=1e-5)
