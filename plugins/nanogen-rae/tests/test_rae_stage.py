"""Stage 1: losses against their equations, all phases in the loop, exact resume, a short training."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn
from torch.nn import functional as F

from nanogen_core import build_pipeline
from nanogen_core.config import resolve
from nanogen_core.errors import ConfigError, DataError, Incompatible
from nanogen_core.pipeline import Pipeline
from nanogen_core.randomness import KeyedRNG
from nanogen_files import storage
from nanogen_files.structure import structure
from nanogen_rae.augment import DiffAugment
from nanogen_rae.decoder_files import OUTPUT_MARK
from nanogen_rae.dino import DinoViT, load_dino
from nanogen_rae.discriminator import Heads, SpectralConv1d, adaptive_weight, frozen, hinge
from nanogen_rae.features import DinoFeatures
from nanogen_rae.stage_config import DecoderStageConfig
from nanogen_train.checkpoint import checkpoint
from nanogen_train.logging import metrics_log
from nanogen_train.optim.schedules import Cosine
from nanogen_train.stages.build import stage_of
from nanogen_train.trainer.loop import Run
from tests.processes import forked

WITHOUT = {"perceptual": "none", "discriminator": "none"}


def configuration(**stage: Any) -> dict[str, Any]:
    return {
        "task": "imagenet",
        "dataset": {"name": "openmoji", "train": 32, "val": 8},
        "tokenizer": {"name": "rae", "encoder": "openmoji-classifier", "decoder": {"size": "tiny"}},
        "stage": {"name": "rae-decoder", **stage},
        "optimizer": {"name": "adamw", "lr": 1e-3},
        "train": {
            "steps": 6, "batch_size": 4, "precision": "fp32", "log_every": 1, "sample_count": 4,
            "sample_every": 6, "checkpoint_every": 2, "keep_last": 9,
        },
    }  # fmt: skip


def run(folder: Path, config: dict[str, Any], **options: Any) -> Pipeline:
    return Run(build_pipeline(config), folder, **options).train()


# -- the loop --------------------------------------------------------------------------------------------------------

STAGED = {"perceptual": "encoder", "discriminator": "encoder", "discriminator_from": 0.5, "adversarial_from": 0.8}


def test_phases_start_in_order_and_a_run_saves_its_files(tmp_path: Path) -> None:
    pipeline = run(tmp_path, configuration(**STAGED))
    log = {entry["step"]: entry for entry in metrics_log.read(tmp_path)}
    assert [step for step in log if "discriminator" in log[step]] == [4, 5, 6]  # updates from step 3, counted from 0
    assert [step for step in log if "adversarial" in log[step]] == [6]
    assert {"l1", "perceptual", "psnr", "lr.decoder"} <= log[1].keys()
    saved = storage.read_tensors(tmp_path / "decoder.safetensors")
    assert saved.pop(OUTPUT_MARK) == 0  # its decoder writes pixels
    nets = checkpoint.load(tmp_path, 6)[0]["nets"]
    assert all(torch.equal(value, nets[f"ema.{name}"]) for name, value in saved.items())
    torch.testing.assert_close(pipeline.tokenizer._decoder.state_dict(), saved)
    assert (tmp_path / "samples" / "step-00000006.png").is_file()
    assert not (tmp_path / "backbone.safetensors").exists()


def test_both_phases_run_in_bf16(tmp_path: Path) -> None:
    """Losses are close to those in float32; spectral norms are computed in float32."""
    config = configuration(**STAGED)
    run(tmp_path / "fp32", config)
    config["train"]["precision"] = "bf16"
    run(tmp_path / "bf16", config)
    logs = [metrics_log.read(tmp_path / name) for name in ("fp32", "bf16")]
    for name, tolerance in {"l1": 0.02, "discriminator": 0.05, "adversarial": 0.5}.items():
        found = [[entry[name] for entry in log if name in entry] for log in logs]
        assert found[0]
        assert found[1] == pytest.approx(found[0], abs=tolerance)


@pytest.mark.parametrize("kept", [2, 4])
@pytest.mark.parametrize("cached", [False, True])
def test_resume_is_exact_before_and_after_the_gan_starts(tmp_path: Path, kept: int, cached: bool) -> None:
    config = configuration(**STAGED)
    config["train"]["cache_latents"] = cached
    run(tmp_path, config)
    whole = checkpoint.load(tmp_path, 6)[0]
    for step in range(kept + 2, 7, 2):
        shutil.rmtree(checkpoint.path_of(tmp_path, step))
    torch.rand(3)  # the global state has no part in it
    run(tmp_path, config, resume=True)
    again = checkpoint.load(tmp_path, 6)[0]
    assert whole.keys() == again.keys() == {"nets", "optimizer-decoder", "optimizer-discriminator"}
    for part, tensors in whole.items():
        assert all(torch.equal(tensor, again[part][name]) for name, tensor in tensors.items()), part


def test_two_processes_take_the_same_steps(tmp_path: Path) -> None:
    """Both networks are wrapped together, although each phase trains one of them."""
    config = configuration(**STAGED)
    (tmp_path / "config.json").write_text(json.dumps(config))
    words = ["train", str(tmp_path / "config.json"), "--output", str(tmp_path / "two")]
    forked.together(forked.command, words, ACCELERATE_USE_CPU="true")
    run(tmp_path / "one", config)
    norms = [[entry["grad_norm"] for entry in metrics_log.read(tmp_path / name)] for name in ("one", "two")]
    assert norms[0][:3] == pytest.approx(norms[1][:3], rel=1e-4)  # the GAN starts after these
    assert len(norms[1]) == 6


def test_a_decoder_with_a_path_is_fine_tuned(tmp_path: Path) -> None:
    run(tmp_path / "first", configuration(**WITHOUT))
    config = configuration(**WITHOUT)
    config["tokenizer"]["decoder"]["path"] = str(tmp_path / "first")
    stage = stage_of(build_pipeline(config))
    saved = storage.read_tensors(tmp_path / "first" / "decoder.safetensors")
    del saved[OUTPUT_MARK]
    torch.testing.assert_close(stage.nets["decoder"].state_dict(), saved)


def test_the_file_of_a_decoder_declares_normalised_output(tmp_path: Path) -> None:
    """The file declares its output, so that the option is not needed."""
    config = configuration(**WITHOUT)
    config["tokenizer"]["decoder"]["output"] = "normalised"
    trained = run(tmp_path / "first", config).tokenizer
    tokens = torch.randn(1, 96, 8, 8)
    config["tokenizer"]["decoder"] = {"size": "tiny", "path": str(tmp_path / "first" / "decoder.safetensors")}
    again = build_pipeline(config).tokenizer
    decoder = again.new_decoder()
    torch.testing.assert_close(again.decode_tokens(decoder, tokens), trained.decode_tokens(trained._decoder, tokens))
    torch.testing.assert_close(again.decode_tokens(decoder, tokens), decoder(tokens))  # 0.5 + 0.5 x, then 2 y - 1
    config["tokenizer"]["decoder"]["output"] = "pixels"
    with pytest.raises(ConfigError, match=r"`output: normalised`.*is 'pixels'. Remove the option"):
        build_pipeline(config).tokenizer.new_decoder()


def test_from_stage_1_to_samples(tmp_path: Path) -> None:
    """Decoder, statistics, backbone and samples in one pipeline."""
    first = run(tmp_path / "stage1", configuration(**WITHOUT))
    count = first.tokenizer.compute_statistics(first.task.iter_once("train", 16), tmp_path / "statistics.safetensors")
    assert count == 32
    config = configuration()
    del config["stage"]
    config["tokenizer"]["decoder"]["path"] = str(tmp_path / "stage1")
    config["tokenizer"]["statistics"] = str(tmp_path / "statistics.safetensors")
    config |= {"method": "rae", "backbone": {"name": "lightning-dit", "hidden": 16, "depth": 1, "heads": 1}}
    config |= {"sampler": {"name": "euler", "steps": 2}}
    run(tmp_path / "flow", config)
    images = Pipeline.load(tmp_path / "flow").generate(["dog", "cat"], tensors=True)
    assert images.shape == (2, 3, 64, 64)
    assert images.isfinite().all()


def test_the_defaults_are_the_published_recipe() -> None:
    resolved = resolve({"task": "imagenet", "stage": "rae-decoder"})
    assert (resolved.sections["train"].steps, resolved.sections["train"].batch_size) == (40_032, 512)
    rate, schedule = resolved.slots["optimizer"].config.lr, Cosine(resolved.slots["schedule"].config)
    rates = [rate * schedule.factor(step) for step in (0, 2_501, 40_032)]
    assert rates == pytest.approx([2e-4 / 2_502, 2e-4, 2e-5])
    assert resolved.sections["train"].gradient_clip is None
    stage = resolved.slots["stage"].config
    epochs = (16 * stage.discriminator_from, 16 * stage.adversarial_from)
    assert (stage.noise, stage.ema_decay, stage.adversarial_weight, *epochs) == (0.8, 0.9978, 0.75, 6, 8)


def test_a_tokenizer_without_a_decoder_to_train_is_refused() -> None:
    with pytest.raises(Incompatible, match="decoder-training"):
        build_pipeline(configuration() | {"tokenizer": "openmoji-vae"})


def test_the_gan_cannot_start_before_its_discriminator() -> None:
    with pytest.raises(ConfigError, match="must be at least discriminator_from"):
        structure({"discriminator_from": 0.5, "adversarial_from": 0.25}, DecoderStageConfig, "stage")


# -- noise -----------------------------------------------------------------------------------------------------------


def test_noise_is_keyed_and_has_its_distribution() -> None:
    stage = stage_of(build_pipeline(configuration(**WITHOUT)))
    tokens = torch.zeros(512, 96, 8, 8)
    noisy = stage._noisy(tokens, KeyedRNG(0, range(512), step=3))
    sigma = noisy.flatten(1).std(dim=1)
    assert float(sigma.max()) < 0.85
    assert float(sigma.mean()) == pytest.approx(0.4, abs=0.03)
    assert torch.equal(noisy[7:9], stage._noisy(tokens[:2], KeyedRNG(0, [7, 8], step=3)))


# -- losses ----------------------------------------------------------------------------------------------------------


def test_hinge() -> None:
    real, fake = torch.tensor([[2.0, 0.5]]), torch.tensor([[-3.0, 0.25]])
    assert float(hinge(real, fake)) == pytest.approx(0.5 * ((0 + 0.5) / 2 + (0 + 1.25) / 2))


def test_the_adaptive_weight_is_the_ratio_of_gradients() -> None:
    last = nn.Parameter(torch.tensor([1.0, 2.0]))
    first, second = (last * torch.tensor([3.0, 4.0])).sum(), 0.5 * last.sum()
    assert float(adaptive_weight(first, second, last)) == pytest.approx(5 / (0.5 * 2**0.5 + 1e-6))
    assert float(adaptive_weight(first, 0 * second, last)) == pytest.approx(1e4)


def test_frozen_weights_get_no_gradient_but_inputs_do() -> None:
    heads, features = Heads(8, 1), torch.randn(4, 8, 6, requires_grad=True)
    before = {name: tensor.clone() for name, tensor in heads.state_dict().items()}
    with frozen(heads):
        heads([features]).mean().backward()
    assert features.grad is not None
    assert all(parameter.grad is None and parameter.requires_grad for parameter in heads.parameters())
    assert heads.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in heads.state_dict().items())


def test_heads_give_a_logit_for_each_place_and_level_of_each_image_alone() -> None:
    torch.manual_seed(0)
    heads, levels = Heads(8, 2), [torch.randn(16, 8, 6), torch.randn(16, 8, 6)]
    logits = heads(levels).detach()
    assert logits.shape == (16, 12)
    heads.eval()  # spectral norm stands still
    torch.testing.assert_close(heads([level[[3]] for level in levels]), heads(levels)[[3]])


@pytest.mark.filterwarnings("ignore:.*spectral_norm.*:FutureWarning")
def test_a_spectral_convolution_is_torchs() -> None:
    """Compared with torch's deprecated class, in training and evaluation mode."""
    torch.manual_seed(0)
    ours = SpectralConv1d(6, 4, 3)
    theirs = nn.utils.spectral_norm(nn.Conv1d(6, 4, 3, padding=1, padding_mode="circular"))
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 6, 9)
    for _ in range(3):
        torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))
    ours(x).square().sum().backward()
    theirs(x).square().sum().backward()
    torch.testing.assert_close(ours.weight_orig.grad, theirs.weight_orig.grad)


def test_augmentation_is_keyed_by_sample_and_differentiable() -> None:
    images = (torch.rand(6, 3, 16, 16) * 2 - 1).requires_grad_()
    augment = DiffAugment(cutout=0.5)
    all_of_them = augment(images, KeyedRNG(0, range(6), step=1), "real")
    assert torch.equal(all_of_them[4:5], augment(images[4:5], KeyedRNG(0, [4], step=1), "real"))
    assert not torch.equal(all_of_them, augment(images, KeyedRNG(0, range(6), step=1), "fake"))
    all_of_them.sum().backward()
    assert images.grad is not None
    assert images.grad.isfinite().all()


def test_augmentation_moves_by_an_eighth_at_most() -> None:
    images = torch.zeros(64, 3, 16, 16)
    images[:, :, 8, 8] = 1.0
    moved = DiffAugment()(images, KeyedRNG(0, range(64)), "real")
    offsets = {(int(i.argmax()) // 16 - 8, int(i.argmax()) % 16 - 8) for i in moved.var(dim=1) + moved[:, 0]}
    assert all(abs(down) <= 2 and abs(right) <= 2 for down, right in offsets)
    assert len(offsets) > 10


def test_augmentation_is_drawn_for_the_whole_batch() -> None:
    images = torch.rand(4, 3, 8, 8) * 2 - 1
    assert torch.equal(DiffAugment(0.0)(images, KeyedRNG(0, range(4)), "real"), images)
    half = DiffAugment(0.5)
    left = [torch.equal(half(images, KeyedRNG(0, range(4), step=step), "real"), images) for step in range(400)]
    assert sum(left) / 400 == pytest.approx(0.25, abs=0.08)  # neither translation nor colour, for all four


# -- frozen features -------------------------------------------------------------------------------------------------


def dino_folder(folder: Path) -> Any:
    """Folder of a small DINO of transformers."""
    torch.manual_seed(0)
    options = {"hidden_size": 16, "num_hidden_layers": 12, "num_attention_heads": 2, "intermediate_size": 16}
    numerics = {"hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-6}
    model = transformers.ViTModel(transformers.ViTConfig(**options, **numerics, patch_size=32)).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)
    return model


@torch.no_grad()
@pytest.mark.parametrize("side", [224, 256])
def test_dino_features_are_those_of_transformers(tmp_path: Path, side: int) -> None:
    model = dino_folder(tmp_path)
    images = torch.rand(2, 3, side, side) * 2 - 1
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    pixels = ((images + 1) / 2 - mean[:, None, None]) / std[:, None, None]
    if side != 224:
        pixels = F.interpolate(pixels, (224, 224), mode="bilinear", align_corners=False)
    states = model(pixels, output_hidden_states=True).hidden_states
    wanted = [states[place][:, 1:].mT for place in (12, 3, 6, 9, 12)]
    dino = DinoFeatures(load_dino(str(tmp_path)))
    assert (dino.width, dino.levels) == (16, 5)
    torch.testing.assert_close(list(dino(images)), wanted, rtol=1e-4, atol=1e-4)


def test_a_dino_with_too_few_blocks_is_refused(tmp_path: Path) -> None:
    shallow = {name: tensor for name, tensor in original(tmp_path).items() if not name.startswith("blocks.11.")}
    with pytest.raises(DataError, match="11 blocks, but 12 are needed"):
        DinoFeatures(DinoViT(shallow, 1))


def original(folder: Path) -> dict[str, Tensor]:
    """Weights of a small DINO with one head, under the names of the original file."""
    generator = torch.Generator().manual_seed(0)
    shapes: dict[str, tuple[int, ...]] = {"cls_token": (1, 1, 64), "pos_embed": (1, 50, 64), "norm.weight": (64,)}
    shapes |= {"patch_embed.proj.weight": (64, 3, 32, 32), "patch_embed.proj.bias": (64,), "norm.bias": (64,)}
    for block in range(12):
        for name, (out, width) in {
            "attn.qkv": (192, 64), "attn.proj": (64, 64), "mlp.fc1": (96, 64), "mlp.fc2": (64, 96)
        }.items():  # fmt: skip
            shapes |= {f"blocks.{block}.{name}.weight": (out, width), f"blocks.{block}.{name}.bias": (out,)}
        shapes |= {f"blocks.{block}.norm{n}.{part}": (64,) for n in (1, 2) for part in ("weight", "bias")}
    return {name: torch.randn(shape, generator=generator) * 0.1 for name, shape in shapes.items()}


@torch.no_grad()
def test_the_original_file_of_dino(tmp_path: Path) -> None:
    state = original(tmp_path)
    torch.save(state, tmp_path / "dino.pth")
    images = torch.rand(1, 3, 64, 64) * 2 - 1
    wanted = DinoFeatures(DinoViT(state, 1).eval())(images)
    torch.testing.assert_close(list(DinoFeatures(load_dino(str(tmp_path / "dino.pth")))(images)), list(wanted))


def test_missing_lpips_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"vgg16-397923af.pth.*`stage.lpips`.*`stage.perceptual: encoder` or `none`"):
        stage_of(build_pipeline(configuration(discriminator="none", lpips=str(tmp_path))))


def test_missing_dino_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"DINO-S/8.*`stage.dino`.*config.json and model.safetensors.*'encoder' or"):
        stage_of(build_pipeline(configuration(perceptual="none", dino=str(tmp_path))))


def test_dino_files_of_another_network_are_not_called_missing(tmp_path: Path) -> None:
    state = original(tmp_path)
    del state["cls_token"], state["pos_embed"]
    torch.save(state, tmp_path / "dino.pth")
    with pytest.raises(DataError, match=r"cannot be read from '.*dino.pth' \(KeyError: 'pos_embed'\)\. Set"):
        load_dino(str(tmp_path / "dino.pth"))


@pytest.mark.parametrize("heads", ["4", 0, None, [2], 2.5])
def test_a_dino_whose_heads_are_no_whole_number_is_a_sentence(tmp_path: Path, heads: Any) -> None:
    dino_folder(tmp_path)
    facts = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**facts, "num_attention_heads": heads}))
    with pytest.raises(
        DataError, match=r"`num_attention_heads` of .*config\.json is .*, but must be a positive integer"
    ):
        load_dino(str(tmp_path))
