"""The ConvNeXt loss against a second implementation, and the recipe that uses it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor
from transformers import (
    ConvNextConfig,
    ConvNextModel,
    ConvNextV2Config,
    ConvNextV2ForImageClassification,
    ResNetConfig,
    ResNetModel,
)

from nanogen_align.vgg import PerceptualDistance
from nanogen_align.vgg_files import HEADS, VGG
from nanogen_core import build_pipeline, resolve
from nanogen_core.config import combine
from nanogen_core.errors import DataError, Incompatible
from nanogen_core.randomness import KeyedRNG
from nanogen_core.tensors import Batch, Condition, ForwardPass, Prediction, State, Times
from nanogen_files.structure import structure
from nanogen_pixel.config import ConvNeXtConfig, LpipsConfig
from nanogen_pixel.convnext import ConvNeXt
from nanogen_pixel.convnext_network import PooledFeatures
from nanogen_pixel.crops import cropped, random_crops
from nanogen_pixel.lpips import Lpips
from nanogen_train.logging import metrics_log
from nanogen_train.trainer.loop import Run

torch.set_num_threads(1)

SMALL: dict[str, Any] = {"hidden_sizes": [8, 12, 16, 20], "depths": [1, 2, 1, 1], "image_size": 64}
IMAGES = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
DENOISED = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
BATCH, RNG = Batch(torch.arange(3), images=IMAGES), KeyedRNG(0, range(3))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a random ConvNeXt-V2 with a classification head and no zero weights."""
    torch.manual_seed(0)
    network = ConvNextV2ForImageClassification(ConvNextV2Config(**SMALL))
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    place = tmp_path_factory.mktemp("convnext")
    network.save_pretrained(place)
    return place


@pytest.fixture(scope="module")
def lpips_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights in the layout of the published files."""
    torch.manual_seed(0)
    place, network = tmp_path_factory.mktemp("lpips"), PerceptualDistance()
    torch.save({f"features.{name}": x.data for name, x in network.features.named_parameters()}, place / VGG)
    heads = {f"lin{n}.model.1.weight": torch.rand(1, len(head), 1, 1) for n, head in enumerate(network.heads)}
    torch.save(heads, place / HEADS)
    return place


def by_hand(file: dict[str, Tensor], images: Tensor) -> Tensor:
    """ConvNeXt-V2 (arXiv 2301.00808, section 3 and appendix) implemented from its paper, channels last."""

    def norm(x: Tensor, name: str) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        scaled = centred / (centred.square().mean(-1, keepdim=True) + 1e-6).sqrt()
        return scaled * file[f"{name}.weight"] + file[f"{name}.bias"]

    def conv(x: Tensor, name: str, **options: int) -> Tensor:
        found = F.conv2d(x.permute(0, 3, 1, 2), file[f"{name}.weight"], file[f"{name}.bias"], **options)
        return found.permute(0, 2, 3, 1)

    def linear(x: Tensor, name: str) -> Tensor:
        return x @ file[f"{name}.weight"].T + file[f"{name}.bias"]

    x = norm(conv(images.permute(0, 2, 3, 1), "convnextv2.embeddings.patch_embeddings", stride=4),
             "convnextv2.embeddings.layernorm")  # fmt: skip
    for stage, depth in enumerate(SMALL["depths"]):
        at = f"convnextv2.encoder.stages.{stage}"
        if stage:
            x = conv(norm(x, f"{at}.downsampling_layer.0"), f"{at}.downsampling_layer.1", stride=2)
        for number in range(depth):
            block = f"{at}.layers.{number}"
            y = norm(conv(x, f"{block}.dwconv", padding=3, groups=x.shape[-1]), f"{block}.layernorm")
            y = F.gelu(linear(y, f"{block}.pwconv1"))
            energy = y.square().sum((1, 2), keepdim=True).sqrt()
            share = energy / (energy.mean(-1, keepdim=True) + 1e-6)
            y = file[f"{block}.grn.weight"] * (y * share) + file[f"{block}.grn.bias"] + y
            x = x + linear(y, f"{block}.pwconv2")
    return norm(x.mean((1, 2)), "convnextv2.layernorm")


def forward_pass(denoised: Tensor, times: list[float]) -> ForwardPass:
    state, t = State(denoised), torch.tensor(times)
    return ForwardPass(state, Times(t, t), Prediction(state), state, state, Condition(torch.zeros(len(t), 1, 1)))


def loss_of(folder: Path, **options: Any) -> ConvNeXt:
    return ConvNeXt(ConvNeXtConfig(path=str(folder), **options))


def test_the_features_are_pooled_and_normalised_without_the_head(folder: Path) -> None:
    file = load_file(folder / "model.safetensors")
    found = PooledFeatures.load(str(folder))(IMAGES)
    assert found.shape == (3, 20)
    torch.testing.assert_close(found, by_hand(file, IMAGES), rtol=1e-4, atol=1e-4)


def test_the_loss_is_its_equation(folder: Path) -> None:
    """`0.1 d / (sg(d) + 0.01)`, d the squared distance of the features of crops, where t < 0.8; the mean over all."""
    file, denoised = load_file(folder / "model.safetensors"), DENOISED.clone().requires_grad_()
    found = loss_of(folder).loss(forward_pass(denoised, [0.2, 0.8, 0.7999]), State(IMAGES), BATCH, {}, RNG)
    crops = random_crops(KeyedRNG(0, range(3)), 64, 64)
    ours = DENOISED.clone().requires_grad_()
    pair = [by_hand(file, cropped(images, crops, 224)) for images in (ours, IMAGES)]
    distance = (pair[0] - pair[1]).square().sum(1)
    total = 0.1 * (distance / (distance.detach() + 0.01))[[0, 2]].sum() / 3
    torch.testing.assert_close(found.total, total, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found.parts["distance"], distance[[0, 2]].detach().sum() / 3, rtol=1e-3, atol=1e-6)
    found.total.backward()
    total.backward()
    assert denoised.grad is not None
    assert ours.grad is not None
    assert [bool(row.abs().sum() > 0) for row in denoised.grad] == [True, False, True]
    torch.testing.assert_close(denoised.grad, ours.grad, rtol=1e-3, atol=1e-3 * float(ours.grad.abs().max()))


def test_without_crop_and_norm_it_is_the_plain_distance(folder: Path) -> None:
    found = loss_of(folder, crop=None, norm_p=0.0, weight=2.0).loss(
        forward_pass(DENOISED, [0.1] * 3), State(IMAGES), BATCH, {}, RNG
    )
    file = load_file(folder / "model.safetensors")
    distance = (by_hand(file, DENOISED) - by_hand(file, IMAGES)).square().sum(1).mean()
    torch.testing.assert_close(found.total, 2 * distance, rtol=1e-4, atol=1e-5)


def test_lpips_takes_the_same_crops_and_norm(lpips_folder: Path) -> None:
    config = LpipsConfig(folder=str(lpips_folder), weight=0.4, below=0.8, crop=48, norm_p=1.0)
    found = Lpips(config).loss(forward_pass(DENOISED, [0.2, 0.9, 0.1]), State(IMAGES), BATCH, {}, RNG)
    crops = random_crops(KeyedRNG(0, range(3)), 64, 64)
    distance = PerceptualDistance.load(str(lpips_folder))(*(cropped(x, crops, 48) for x in (DENOISED, IMAGES)))
    torch.testing.assert_close(found.total, 0.4 * (distance / (distance + 0.01))[[0, 2]].sum() / 3)
    torch.testing.assert_close(found.parts["distance"], distance[[0, 2]].sum() / 3)


def test_the_network_is_frozen_and_not_evaluated_for_noise(folder: Path) -> None:
    loss = loss_of(folder)
    assert not any(parameter.requires_grad for parameter in loss.network.parameters())
    assert loss.loss(forward_pass(DENOISED, [0.8, 0.9, 1.0]), State(IMAGES), BATCH, {}, RNG).total == 0


def test_the_first_convnext_is_taken_too(tmp_path: Path) -> None:
    network = ConvNextModel(ConvNextConfig(**SMALL)).eval()
    network.save_pretrained(tmp_path)
    expected = network(IMAGES).pooler_output
    torch.testing.assert_close(PooledFeatures.load(str(tmp_path))(IMAGES), expected, rtol=1e-3, atol=1e-3)


def test_what_is_no_convnext_is_refused_in_one_sentence(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match=r"The ConvNeXt in .* cannot be read .* Put config.json and model.safetensors"):
        loss_of(tmp_path)
    other = tmp_path / "resnet"
    ResNetModel(ResNetConfig(embedding_size=8, hidden_sizes=[8], depths=[1])).save_pretrained(other)
    with pytest.raises(DataError, match="is a resnet, not a ConvNeXt"):
        loss_of(other)
    half = tmp_path / "half"
    half.mkdir()
    config = json.loads((folder / "config.json").read_text())
    (half / "config.json").write_text(json.dumps({**config, "depths": [1, 3, 1, 1]}))
    (half / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    with pytest.raises(DataError, match=r"weights such as encoder.stages.1.layers.2"):
        loss_of(half)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(
        DataError, match=r"'nobody/nothing' is not a local folder .* set `auxiliary.convnext.path` to it"
    ):
        ConvNeXt(ConvNeXtConfig(path="nobody/nothing"))


def test_it_needs_a_pixel_tokenizer() -> None:
    drawings = {"task": "imagenet", "dataset": "openmoji", "tokenizer": "openmoji-vae", "method": "vae"}
    with pytest.raises(Incompatible, match="auxiliary 'convnext' needs a tokenizer that provides 'pixels'"):
        resolve({**drawings, "auxiliary": "convnext"})


def test_the_published_defaults() -> None:
    config = structure({}, ConvNeXtConfig, "auxiliary.convnext")
    assert (config.path, config.crop) == ("facebook/convnextv2-base-22k-224", 224)
    assert (config.weight, config.below, config.norm_p, config.norm_eps) == (0.1, 0.8, 1.0, 0.01)


# -- the recipe of pixel MeanFlow --------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["imagenet", "t2i"])
def test_the_recipe_has_the_published_numbers_on_both_tasks(task: str) -> None:
    """Those of pMF_L_16_config.yml in the authors' code."""
    recipe = resolve(combine("pixel-meanflow", {"task": task}))
    losses = {name: part.config for name, part in recipe.groups["auxiliary"].items()}
    assert {name: (x.weight, x.below, x.norm_p, x.norm_eps, x.crop) for name, x in losses.items()} == {
        "lpips": (0.4, 0.8, 1.0, 0.01, 224), "convnext": (0.1, 0.8, 1.0, 0.01, 224)
    }  # fmt: skip
    objective, optimizer = recipe.slots["objective"].config, recipe.slots["optimizer"].config
    assert (objective.prediction, objective.flow_time, objective.mix, objective.probability) == (
        "x", "one", "sample", 0.5
    )  # fmt: skip
    assert (objective.time_mean, objective.time_std, objective.shift, objective.t_eps) == (0.8, 0.8, 1.0, 0.05)
    assert (objective.norm_p, objective.norm_eps, objective.scale_max, objective.scale_power) == (1.0, 0.01, 8.0, 2.0)
    assert (recipe.slots["optimizer"].name, optimizer.lr, optimizer.beta2, optimizer.scale) == (
        "muon", 1e-3, 0.95, "shape"
    )  # fmt: skip
    guidance = recipe.groups["guidance"]["cfg-conditioned"].config
    assert (guidance.scale, guidance.t_min, guidance.t_max) == (7.0, 0.2, 0.7)
    assert (recipe.slots["sampler"].config.steps, recipe.slots["schedule"].name) == (1, "constant")


@pytest.mark.parametrize("task", ["imagenet", "t2i"])
def test_the_recipe_trains_on_the_drawings(task: str, folder: Path, lpips_folder: Path, tmp_path: Path) -> None:
    small = {
        "task": task,
        "image_size": 16,
        "dataset": {"name": "openmoji", "train": 8, "val": 8},
        "backbone": {"name": "lightning-dit", "hidden": 16, "depth": 1, "heads": 1, "patch_size": 4},
        "auxiliary": {
            "lpips": {"folder": str(lpips_folder), "crop": 32, "below": 1.0},
            "convnext": {"path": str(folder), "crop": 64, "below": 1.0},
        },
        "train": {"steps": 2, "batch_size": 4, "precision": "fp32", "log_every": 1, "sample_count": 1},
    }
    trained = Run(build_pipeline("pixel-meanflow", **small), tmp_path).train()
    entry = metrics_log.read(tmp_path)[-1]
    assert entry["lpips"] > 0
    assert entry["convnext"] > 0
    assert entry["loss"] == pytest.approx(entry["meanflow"] + entry["lpips"] + entry["convnext"], rel=1e-5)
    prompts = {"imagenet": [1], "t2i": ["a red circle"]}[task]
    assert trained.generate(prompts, guidance=3.0, tensors=True).isfinite().all()
