"""Small random encoders of the published classes. Expected values come from calls of transformers (or timm)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor
from torch.nn import functional as F

from nanogen_core.errors import ConfigError, DataError, Incompatible
from nanogen_core.registry import registry
from nanogen_files import storage
from nanogen_files.structure import plain as plain_values
from nanogen_files.structure import structure
from nanogen_rae.config import EncoderConfig
from nanogen_rae.encoder import PublishedEncoder
from nanogen_rae.lookup import vision_encoder
from nanogen_rae.perception import heads_of
from nanogen_rae.presets import ENCODERS

VIT = {"hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2}
MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


def saved(folder: Path, kind: str, **options: Any) -> Any:
    """Save a model with non-trivial norms to `folder`."""
    torch.manual_seed(0)
    config = getattr(transformers, kind.replace("Model", "Config"))(**options)
    model = getattr(transformers, kind)(config).eval()
    for name, parameter in model.named_parameters():
        if "norm" in name or "position_embeddings" in name:
            torch.nn.init.normal_(parameter, mean=1.0, std=0.3)
    model.save_pretrained(folder)
    return model


@pytest.fixture
def images() -> Tensor:
    return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1


def pixels(images: Tensor, side: int, mode: str, mean: Tensor, std: Tensor, antialias: bool = False) -> Tensor:
    unit = (images + 1) / 2
    if side != images.shape[-1]:
        unit = F.interpolate(unit, (side, side), mode=mode, align_corners=False, antialias=antialias)
    return (unit - mean[:, None, None]) / std[:, None, None]


def plain(model: Any, norm: str) -> Any:
    """The model without the affine part of its final norm, as in the published code."""
    layer = getattr(model, norm)
    torch.nn.init.ones_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    return model


def encoded(name: str, folder: Path, images: Tensor, **options: Any) -> Any:
    encoder = PublishedEncoder(name, EncoderConfig(path=str(folder), **options))
    found = encoder.encode(images)
    assert encoder.width == found.tokens.shape[2]
    assert encoder.grid(images.shape[-1]) ** 2 == found.tokens.shape[1]
    assert encoder.has_class_token == (found.class_token is not None)
    assert found.tokens.dtype == torch.float32
    return found


@torch.no_grad()
def test_dinov2_with_registers(tmp_path: Path, images: Tensor) -> None:
    model = saved(tmp_path, "Dinov2WithRegistersModel", **VIT, patch_size=14, image_size=56, num_register_tokens=4)
    model = plain(model, "layernorm")
    seen = model(pixels(images, 28, "bicubic", MEAN, STD)).last_hidden_state
    found = encoded("dinov2-vit-s", tmp_path, images)
    torch.testing.assert_close(found.tokens, seen[:, 5:])
    torch.testing.assert_close(found.class_token, seen[:, 0])


@torch.no_grad()
def test_norm_affine_keeps_the_affine_part(tmp_path: Path, images: Tensor) -> None:
    model = saved(tmp_path, "Dinov2WithRegistersModel", **VIT, patch_size=14, image_size=56, num_register_tokens=4)
    seen = model(pixels(images, 28, "bicubic", MEAN, STD)).last_hidden_state
    torch.testing.assert_close(encoded("dinov2-vit-b", tmp_path, images, norm="affine").tokens, seen[:, 5:])


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "options"), [("dinov2-vit-l", {"registers": False, "norm": "affine"}), ("webssl-1b", {})]
)
def test_dinov2_without_registers_and_webssl(
    tmp_path: Path, images: Tensor, name: str, options: Mapping[str, Any]
) -> None:
    model = saved(tmp_path, "Dinov2Model", **VIT, patch_size=14, image_size=28)
    seen = model(pixels(images, 28, "bicubic", MEAN, STD)).last_hidden_state
    found = encoded(name, tmp_path, images, **options)
    torch.testing.assert_close(found.tokens, seen[:, 1:])
    torch.testing.assert_close(found.class_token, seen[:, 0])


@torch.no_grad()
def test_dinov3(tmp_path: Path, images: Tensor) -> None:
    model = saved(tmp_path, "DINOv3ViTModel", **VIT, intermediate_size=32, patch_size=16, num_register_tokens=4)
    model = plain(model, "norm")
    seen = model(pixels(images, 32, "bilinear", MEAN, STD)).last_hidden_state
    found = encoded("dinov3-vit-b16", tmp_path, images)
    torch.testing.assert_close(found.tokens, seen[:, 5:])
    larger = encoded("dinov3-vit-b16", tmp_path, images, side=48).tokens
    torch.testing.assert_close(
        larger, model(pixels(images, 48, "bilinear", MEAN, STD, antialias=True)).last_hidden_state[:, 5:]
    )


@torch.no_grad()
def test_siglip2_keeps_its_affine_part_and_has_no_class_token(tmp_path: Path, images: Tensor) -> None:
    half = torch.tensor([0.5] * 3)
    model = saved(tmp_path, "SiglipVisionModel", **VIT, intermediate_size=32, patch_size=16, image_size=32)
    seen = model(pixels(images, 32, "bicubic", half, half)).last_hidden_state
    torch.testing.assert_close(encoded("siglip2-vit-b", tmp_path, images).tokens, seen)


@torch.no_grad()
def test_mae_keeps_the_order_of_tokens(tmp_path: Path, images: Tensor) -> None:
    model = saved(tmp_path, "ViTMAEModel", **VIT, intermediate_size=32, patch_size=16, image_size=64, mask_ratio=0.75)
    model = plain(model, "layernorm")
    model.config.mask_ratio = 0.0
    order = torch.arange(4.0).expand(2, -1)
    seen = model(pixels(images, 32, "bicubic", MEAN, STD), noise=order, interpolate_pos_encoding=True)
    found = encoded("mae-vit-b", tmp_path, images)
    torch.testing.assert_close(found.tokens, seen.last_hidden_state[:, 1:])
    torch.testing.assert_close(found.class_token, seen.last_hidden_state[:, 0])


@torch.no_grad()
def test_convnextv2_gives_its_last_map(tmp_path: Path) -> None:
    images = torch.rand(1, 3, 256, 256) * 2 - 1
    model = saved(tmp_path, "ConvNextV2Model", hidden_sizes=[8, 8, 8, 16], depths=[1, 1, 1, 1])
    seen = model(pixels(images, 224, "bilinear", MEAN, STD)).last_hidden_state  # [1, 16, 7, 7]
    torch.testing.assert_close(encoded("convnextv2-t", tmp_path, images).tokens, seen.flatten(2).mT)


@torch.no_grad()
def test_tipsv2_takes_unnormalised_pixels(tmp_path: Path, images: Tensor) -> None:
    options = {**VIT, "patch_size": 14, "image_size": 56}
    model = plain(saved(tmp_path, "Tipsv2VisionModel", **options), "layernorm")
    seen = model(pixels(images, 28, "bicubic", torch.zeros(3), torch.ones(3))).last_hidden_state
    found = encoded("tipsv2-vit-b14", tmp_path, images)
    torch.testing.assert_close(found.tokens, seen[:, 2:])
    torch.testing.assert_close(found.class_token, seen[:, 0])


@torch.no_grad()
def test_several_levels_are_the_mean_of_normalised_tokens(tmp_path: Path, images: Tensor) -> None:
    model = saved(tmp_path, "Dinov2WithRegistersModel", **VIT, patch_size=14, image_size=28, num_register_tokens=4)
    states = model(pixels(images, 28, "bicubic", MEAN, STD), output_hidden_states=True).hidden_states
    levels = [F.layer_norm(states[place][:, 5:], (16,), eps=1e-6) for place in (2, 4)]
    found = encoded("dinov2-vit-s", tmp_path, images, levels=2)
    torch.testing.assert_close(found.tokens, (levels[0] + levels[1]) / 2)


@torch.no_grad()
def test_dinov3_adds_the_mean_token_of_the_last_level(tmp_path: Path, images: Tensor) -> None:
    model = saved(tmp_path, "DINOv3ViTModel", **VIT, intermediate_size=32, patch_size=16, num_register_tokens=4)
    with_hidden = model(pixels(images, 32, "bilinear", MEAN, STD), output_hidden_states=True)
    raw = [state[:, 5:] for state in with_hidden.hidden_states]
    levels = [F.layer_norm(raw[place], (16,), eps=model.config.layer_norm_eps) for place in (2, 4)]
    wanted = sum(levels) / 2 + levels[1].mean(dim=1, keepdim=True)
    torch.testing.assert_close(encoded("dinov3-vit-b16", tmp_path, images, levels=2).tokens, wanted)


@torch.no_grad()
@pytest.mark.parametrize("blocks", [(11, 13, 15, 17, 19, 21, 23), tuple(range(1, 24))], ids=["k7", "k23"])
def test_the_released_levels_of_raev2(tmp_path: Path, images: Tensor, blocks: tuple[int, ...]) -> None:
    """Seven or 23 of 24 blocks of DINOv3: the mean, and the last one's mean token."""
    sizes = {**VIT, "num_hidden_layers": 24, "intermediate_size": 32, "patch_size": 16, "num_register_tokens": 4}
    model = saved(tmp_path, "DINOv3ViTModel", **sizes)
    raw = model(pixels(images, 32, "bilinear", MEAN, STD), output_hidden_states=True).hidden_states
    levels = [F.layer_norm(raw[block + 1][:, 5:], (16,), eps=1e-5) for block in blocks]
    wanted = torch.stack(levels).mean(dim=0) + levels[-1].mean(dim=1, keepdim=True)
    options = structure({"path": str(tmp_path), "levels": list(blocks)}, EncoderConfig, "encoder")
    assert plain_values(options)["levels"] == list(blocks)
    found = PublishedEncoder("dinov3-vit-l16", options).encode(images)
    torch.testing.assert_close(found.tokens, wanted, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_unknown_levels_are_refused(tmp_path: Path, images: Tensor) -> None:
    saved(tmp_path, "Dinov2Model", **VIT, patch_size=14, image_size=28)
    with pytest.raises(ConfigError, match=r"`levels` of the encoder .* must be at most 3, got 4"):
        encoded("webssl-1b", tmp_path, images, levels=(1, 4))
    with pytest.raises(ConfigError, match=r"4 blocks. Set its `levels` to a divisor of 4, or to a list"):
        encoded("webssl-1b", tmp_path, images, levels=3)
    for levels in ([], [3, 1], [1, 1], [-1, 2]):
        with pytest.raises(ConfigError, match="must be block numbers in rising order"):
            vision_encoder("webssl-1b", {"levels": levels})
    with pytest.raises(ConfigError, match=r"levels.*expected an integer, got 'all'"):
        vision_encoder("webssl-1b", {"levels": "all"})


def test_gradients_reach_the_images(tmp_path: Path, images: Tensor) -> None:
    saved(tmp_path, "Dinov2Model", **VIT, patch_size=14, image_size=28)
    encoder = PublishedEncoder("webssl-1b", EncoderConfig(path=str(tmp_path)))
    encoder.forward_features(images.requires_grad_()).tokens.square().sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0
    assert not encoder.encode(images).tokens.requires_grad


# -- Perception Encoder ----------------------------------------------------------------------------------------------


def perception_weights(tokens: int, *, class_token: bool, scaled: bool) -> dict[str, Tensor]:
    """Random weights with timm's names: width 16, 2 heads, 2 blocks, patches of 4 pixels."""
    generator = torch.Generator().manual_seed(0)
    shapes = {"patch_embed.proj.weight": (16, 3, 4, 4), "pos_embed": (1, tokens + class_token, 16)}
    shapes |= {"cls_token": (1, 1, 16)} if class_token else {}
    shapes |= {f"norm_pre.{part}": (16,) for part in ("weight", "bias")}
    for block in ("blocks.0.", "blocks.1."):
        for name, (rows, columns) in {
            "attn.qkv": (48, 16), "attn.proj": (16, 16), "mlp.fc1": (24, 16), "mlp.fc2": (16, 24)
        }.items():  # fmt: skip
            shapes |= {f"{block}{name}.weight": (rows, columns), f"{block}{name}.bias": (rows,)}
        shapes |= {f"{block}norm{n}.{part}": (16,) for n in (1, 2) for part in ("weight", "bias")}
        shapes |= {f"{block}gamma_{n}": (16,) for n in (1, 2)} if scaled else {}
    return {name: torch.randn(shape, generator=generator) * 0.3 for name, shape in shapes.items()}


def perception_folder(folder: Path, weights: Mapping[str, Tensor], architecture: str) -> Path:
    storage.write_tensors(folder / "model.safetensors", weights)
    arguments = {"embed_dim": 16, "num_heads": 2, "patch_size": 4}
    storage.write_json(folder / "config.json", {"architecture": architecture, "model_args": arguments})
    return folder


def perception_tokens(weights: Mapping[str, Tensor], pixels: Tensor, grid: int) -> Tensor:
    """Reference implementation: rotations as complex products, attention by plain operations."""
    x = F.conv2d(pixels, weights["patch_embed.proj.weight"], stride=4).flatten(2).mT  # [B, g g, 16]
    x = F.layer_norm(x + weights["pos_embed"], (16,), weights["norm_pre.weight"], weights["norm_pre.bias"], 1e-5)
    row, column = torch.meshgrid(torch.arange(1.0, grid + 1), torch.arange(1.0, grid + 1), indexing="ij")
    turns = torch.stack([place.flatten() / 100.0**i for place in (column, row) for i in range(2)], dim=1)  # [g g, 4]
    rotation = torch.polar(torch.ones_like(turns), turns)
    for block in ("blocks.0.", "blocks.1."):
        part = {name.removeprefix(block): tensor for name, tensor in weights.items() if name.startswith(block)}
        y = F.layer_norm(x, (16,), part["norm1.weight"], part["norm1.bias"], 1e-5)
        heads = []
        for head in range(2):
            rows = [slice(16 * kind + 8 * head, 16 * kind + 8 * head + 8) for kind in range(3)]
            q, k, v = (y @ part["attn.qkv.weight"][r].T + part["attn.qkv.bias"][r] for r in rows)
            q, k = (torch.view_as_complex(z.unflatten(2, (4, 2))) * rotation for z in (q, k))
            heads.append((torch.einsum("bnc,bmc->bnm", q, k.conj()).real / 8**0.5).softmax(dim=2) @ v)
        y = torch.cat(heads, dim=2) @ part["attn.proj.weight"].T + part["attn.proj.bias"]
        x = x + y * part.get("gamma_1", 1.0)
        y = F.layer_norm(x, (16,), part["norm2.weight"], part["norm2.bias"], 1e-5)
        y = F.gelu(y @ part["mlp.fc1.weight"].T + part["mlp.fc1.bias"]) @ part["mlp.fc2.weight"].T
        x = x + (y + part["mlp.fc2.bias"]) * part.get("gamma_2", 1.0)
    return x


@torch.no_grad()
@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("name", ["pe-vit-g", "langpe-vit-g"])
def test_perception_encoders_without_a_class_token(tmp_path: Path, images: Tensor, name: str, scaled: bool) -> None:
    weights = perception_weights(64, class_token=False, scaled=scaled)
    half = torch.tensor([0.5] * 3)
    wanted = perception_tokens(weights, pixels(images, 32, "bilinear", half, half), 8)
    folder = perception_folder(tmp_path, weights, "vit_pe_core_gigantic_patch14_448")
    torch.testing.assert_close(encoded(name, folder, images, side=32).tokens, wanted)


@torch.no_grad()
def test_a_perception_encoder_of_another_architecture_is_refused(tmp_path: Path, images: Tensor) -> None:
    weights = perception_weights(64, class_token=True, scaled=False)
    with pytest.raises(DataError, match="'vit_base_patch16_224' in config.json is not a Perception Encoder"):
        encoded("pe-vit-l", perception_folder(tmp_path, weights, "vit_base_patch16_224"), images)
    del weights["blocks.1.attn.qkv.weight"]
    with pytest.raises(DataError, match="is not a Perception Encoder of timm"):
        encoded("pe-vit-l", perception_folder(tmp_path, weights, "vit_pe_core_large_patch14_336"), images)


@pytest.mark.parametrize(
    ("architecture", "heads"),
    [
        ("vit_pe_core_tiny_patch16_384", 3), ("vit_pe_spatial_small_patch16_512", 6),
        ("vit_pe_core_base_patch16_224", 12), ("vit_pe_lang_large_patch14_448", 16),
        ("vit_pe_lang_gigantic_patch14_448", 16),
    ],
)  # fmt: skip
def test_the_heads_of_a_perception_encoder_follow_from_its_architecture(architecture: str, heads: int) -> None:
    assert heads_of({"architecture": architecture}) == heads
    assert heads_of({"architecture": architecture, "model_args": {"num_heads": 2}}) == 2
    with pytest.raises(DataError, match="Add `num_heads`"):
        heads_of({"architecture": "vit_pe_core_enormous_patch14"})


# -- timm ------------------------------------------------------------------------------------------------------------


def timm() -> Any:
    try:
        import timm
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"timm cannot be imported here: {str(error).splitlines()[0]}")
    return timm


@torch.no_grad()
def test_eupe(tmp_path: Path, images: Tensor) -> None:
    """A model saved for another input size."""
    library, small = timm(), {"embed_dim": 32, "depth": 2, "num_heads": 2}
    torch.manual_seed(0)
    model = library.create_model("vit_base_patch16_dinov3_qkvb", img_size=64, num_classes=0, **small).eval()
    library.models.save_for_hf(model, str(tmp_path), model_args=small, safe_serialization=True)
    direct = library.create_model(f"local-dir:{tmp_path}", pretrained=True, img_size=32, num_classes=0).eval()
    direct.norm = torch.nn.LayerNorm(32, eps=1e-5, elementwise_affine=False)
    seen = direct.forward_features(pixels(images, 32, "bilinear", MEAN, STD))
    torch.testing.assert_close(encoded("eupe-vit-b16", tmp_path, images).tokens, seen[:, 5:], rtol=1e-4, atol=1e-5)


# -- without weights -------------------------------------------------------------------------------------------------


def test_every_named_encoder_is_known_without_weights() -> None:
    assert len(ENCODERS) >= 30
    assert set(ENCODERS) <= set(registry().components["vision_encoder"])
    for name, preset in ENCODERS.items():
        encoder = vision_encoder(name)
        assert encoder.width == preset.width
        assert encoder.grid(256) == (7 if preset.family == "convnextv2" else 16)


def test_the_published_recipes_encoders_have_their_latents() -> None:
    widths = {"dinov2-vit-b": 768, "dinov3-vit-b16": 768, "siglip2-vit-b": 768}
    widths |= {"pe-vit-l": 1024, "langpe-vit-l": 1024, "spatialpe-vit-l": 1024}
    assert {name: vision_encoder(name).width for name in widths} == widths


@pytest.mark.parametrize("size", [250, 0, 24])
def test_a_size_without_a_whole_grid_is_refused(size: int) -> None:
    with pytest.raises(Incompatible, match=f"{size}"):
        vision_encoder("dinov2-vit-b").grid(size)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("dinov2-vit-b", {}, r"images of 130 pixels\. Set `image_size` to a multiple of 16 such as 256, or .* of 14\."),
        ("convnextv2-b", {}, r"`image_size` to a multiple of 256 such as 256, or .* of 32\."),
        ("convnextv2-b", {"side": 100}, r"for `side: 100`\. Set the encoder's option `side` to a multiple of 32\."),
    ],
)
def test_the_advice_for_another_size_helps(name: str, options: Mapping[str, Any], words: str) -> None:
    with pytest.raises(Incompatible, match=words):
        vision_encoder(name, options).grid(130)
    if not options:
        vision_encoder(name).grid(512 if name.startswith("conv") else 144)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("dinov3-vit-b16", {"registers": False}, "registers"),
        ("convnextv2-b", {"levels": 4}, "levels"),
        ("dinov2-vit-b", {"norm": "layer"}, "plain, affine, none"),
        ("dinov2-vit-b", {"level": 4}, "Did you mean 'levels'"),
    ],
)
def test_unsupported_options_are_refused(name: str, options: Mapping[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        vision_encoder(name, options)


def test_a_folder_without_weights_names_the_missing_files(tmp_path: Path, images: Tensor) -> None:
    (tmp_path / "config.json").write_text('{"hidden_size": 16, "patch_size": 14}')
    with pytest.raises(DataError, match=r"Put config.json and model.safetensors of Dinov2WithRegistersModel into"):
        vision_encoder("dinov2-vit-b", {"path": str(tmp_path)}).encode(images)


def test_a_damaged_folder_has_another_message_than_a_folder_without_weights(tmp_path: Path, images: Tensor) -> None:
    options = {**VIT, "patch_size": 14, "image_size": 28}
    saved(tmp_path, "Dinov2WithRegistersModel", **options)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/config.json").write_bytes((tmp_path / "config.json").read_bytes())
    with pytest.raises(DataError, match=r"cannot be read from .* \(.*safetensors.*\)\. Put config.json"):
        vision_encoder("dinov2-vit-b", {"path": str(tmp_path / "empty")}).encode(images)
    facts = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**facts, "num_attention_heads": 3}))
    with pytest.raises(DataError, match=r"cannot be read from .* \(.*mismatched_sizes"):
        vision_encoder("dinov2-vit-b", {"path": str(tmp_path)}).encode(images)


def test_a_model_that_cannot_be_downloaded_is_named(images: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*arguments: Any, **options: Any) -> Any:
        raise OSError("no network")

    monkeypatch.setattr(transformers.DINOv3ViTModel, "from_pretrained", offline)
    with pytest.raises(
        DataError, match=r"facebook/dinov3-vitb16-pretrain-lvd1689m.*\(no network\).*set the encoder's option `path`"
    ):
        vision_encoder("dinov3-vit-b16").encode(images)


def test_files_of_another_width_are_refused(tmp_path: Path, images: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    model = saved(tmp_path, "Dinov2Model", **VIT, patch_size=14, image_size=28)
    monkeypatch.setattr(transformers.Dinov2Model, "from_pretrained", lambda *arguments, **options: model)
    with pytest.raises(DataError, match="tokens of .* have width 16"):
        vision_encoder("webssl-300m").encode(images)


# -- sizes in a folder's config.json ---------------------------------------------------------------------------------

NUMBERS = ["16", 16.0, True, 0, -16, 10**12, {}, [], [None], ["16"], float("nan")]


@pytest.mark.parametrize("value", NUMBERS)
@pytest.mark.parametrize("name", ["hidden_size", "hidden_sizes", "embed_dim", "num_features", "patch_size"])
def test_a_size_that_is_no_whole_number_is_refused(tmp_path: Path, name: str, value: Any) -> None:
    (tmp_path / "config.json").write_text(json.dumps({name: value}))
    encoder = vision_encoder("dinov2-vit-b", {"path": str(tmp_path)})
    with pytest.raises(DataError, match=rf"`{name}` of .*config\.json is .*, but must be a positive integer"):
        _ = (encoder.width, encoder.grid(224))


@pytest.mark.parametrize(
    ("config", "width", "grid"),
    [
        ({}, 768, 14),
        ({"hidden_size": 32, "patch_size": 7}, 32, 14),
        ({"hidden_sizes": [8, 24], "patch_size": [14, 14]}, 24, 14),
        ({"hidden_size": None, "embed_dim": 40, "patch_size": None}, 40, 14),
        ({"vision_config": {"hidden_size": 48}, "hidden_size": 1}, 48, 14),
    ],
)
def test_sizes_of_a_folder(tmp_path: Path, config: Mapping[str, Any], width: int, grid: int) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    encoder = vision_encoder("dinov2-vit-b", {"path": str(tmp_path)})
    assert (encoder.width, encoder.grid(224)) == (width, grid)


@pytest.mark.parametrize("facts", [*({"model_args": {"num_heads": value}} for value in NUMBERS), {"model_args": [1]}])
def test_heads_that_are_no_whole_number_are_refused(facts: Mapping[str, Any]) -> None:
    with pytest.raises(DataError, match="must be a"):
        heads_of({"architecture": "vit_pe_core_tiny_patch16_384", **facts})


@pytest.mark.parametrize("architecture", [None, 3, "", "vit_pe_", [], "resnet50"])
def test_an_architecture_without_a_size_is_refused(architecture: Any) -> None:
    with pytest.raises(DataError, match="not a Perception Encoder|Add `num_heads`"):
        heads_of({"architecture": architecture})
