"""Where what was said contradicts the file, the import is refused with both values."""

import pytest
import torch
from test_undecided import MEANFLOW, PIXELS, REG, SD_VAE, SD_VAE_TEXT

from nanogen_core.errors import ConfigError, DataError, NanoGenError
from nanogen_core.pipeline import build_pipeline
from nanogen_import import import_checkpoint


@pytest.mark.parametrize(
    ("row", "recipe", "settings", "sentence"),
    [
        (SD_VAE, "flux1-vae", {}, r"latents \(4, 32, 32\) .* latents \(16, 32, 32\) at 256 px"),
        (SD_VAE, "jit", {}, r"latents \(4, 32, 32\) .* latents \(3, 32, 32\) at 32 px"),
        (SD_VAE, "flux2-vae-512", {}, "recipe flux2-vae-512 contradicts .*: hidden 1584, but the checkpoint has 16"),
        (SD_VAE, "sd-vae-ema", {"image_size": 512}, r"\(4, 32, 32\) .* \(4, 64, 64\) at 512 px"),
        (SD_VAE, "sd-vae-ema", {"backbone": {"size": "B"}}, "hidden 768, but the checkpoint has 16; depth 12, but"),
        (SD_VAE, "sd-vae-ema", {"backbone": {"patch_size": 1}}, "patch_size 1, but the checkpoint has 2"),
        (SD_VAE, "sd-vae-ema", {"backbone": {"decoder_heads": 1}}, "decoder_heads 1, but the checkpoint has 2"),
        (SD_VAE, "sd-vae-ema", {"backbone": "lightning-dit"}, "the backbone 'lightning-dit', but .* contains a 'ddt'"),
        (SD_VAE, "sd-vae-ema", {"dataset": "openmoji"}, "condition of width 11 .* task 'imagenet' has width 65"),
        (SD_VAE, "sd-vae-ema", {"task": "t2i"}, "condition of width 11 .* task 't2i' has width 1024"),
        (
            SD_VAE_TEXT,
            "sd-vae-ema",
            {"task": "imagenet"},
            "condition of width 1024 and variable length, but the condition of task 'imagenet' has width 1024",
        ),
        (SD_VAE, "demo", {}, "recipe demo has the backbone 'lightning-dit', but .* contains a 'ddt'"),
        (SD_VAE, "meanflow", {}, "need two-time, which the backbone of the checkpoint lacks"),
        (SD_VAE, "sd-vae-ema-reg", {}, "need cls-token, which the backbone of the checkpoint lacks"),
        (MEANFLOW, "sd-vae-mse", {}, "the backbone of the checkpoint has two-time, which no chosen part uses"),
        (REG, "dinov2-b", {}, "the backbone of the checkpoint has cls-token, which no chosen part uses"),
        (PIXELS, "sd-vae-mse", {}, r"latents \(3, 256, 256\) .* latents \(4, 256, 256\)"),
    ],
)
def test_recipe_and_settings(row, recipe, settings, sentence, rows, file_for):
    with pytest.raises(ConfigError, match=f"(?i){sentence}"):
        import_checkpoint(file_for(rows[row]), recipe=recipe, settings=settings)


@pytest.mark.parametrize(
    ("row", "recipe", "fitting"),
    [
        (PIXELS, "sd-vae-mse", "jit, pixelgen, pixnerd"),
        (MEANFLOW, "sd-vae-mse", "meanflow, meanflow-unguided"),
        (REG, "dinov2-b", "dinov2-b-reg, dinov3-b-reg"),
        (SD_VAE, "meanflow", "sd-vae-ema, sd-vae-mse, sdxl-vae"),
    ],
)
def test_a_wrong_recipe_is_answered_with_those_that_fit(row, recipe, fitting, rows, file_for):
    with pytest.raises(ConfigError, match=f"Recipes that match the file: {fitting}\\.$"):
        import_checkpoint(file_for(rows[row]), recipe=recipe)


@pytest.mark.parametrize(
    ("recipe", "settings", "source"),
    [
        ("sd-vae-ema", {"backbone": {"depth": 3}}, "--set"),
        ("sd-vae-ema", {"backbone": {"size": "B"}}, "--set"),
        ("flux2-vae-512", {}, "recipe flux2-vae-512"),
    ],
)
def test_a_contradiction_names_who_said_it(recipe, settings, source, rows, file_for):
    with pytest.raises(ConfigError, match=f"^{source} contradicts "):
        import_checkpoint(file_for(rows[SD_VAE]), recipe=recipe, settings=settings)


def test_another_teacher_is_refused_by_the_width_of_its_token(rows, file_for):
    settings = {"auxiliary": {"reg": {"teacher": "dinov2-vit-l"}}}
    with pytest.raises(ConfigError, match="has width 768, but the chosen auxiliary loss gives it 1024"):
        import_checkpoint(file_for(rows[REG]), recipe="dinov2-b-reg", settings=settings)


def test_equal_values_are_no_conflict(rows, file_for):
    settings = {"backbone": {"hidden": 16, "patch_size": 2, "decoder_depth": 1}}
    pipeline = import_checkpoint(file_for(rows[SD_VAE]), recipe="sd-vae-ema", settings=settings)
    assert pipeline.config.slots["backbone"].config.hidden == 16


@pytest.mark.parametrize("described", [{"config": 5}, {"cond_arch": 5}, {"input_size": "big"}, {"mlp_ratio": None}])
def test_a_description_that_cannot_be_right_is_refused(described, rows, file_for):
    with pytest.raises(DataError, match="The JSON (configuration|description)"):
        import_checkpoint(file_for(rows[SD_VAE_TEXT]), recipe="sd-vae-ema", architecture=described)


@pytest.mark.parametrize(
    "values",
    [
        {"task": 5, "method": "vae"},
        {"task": "imagenet", "backbone": [1]},
        {"task": "imagenet", "tokenizer": 5, "objective": 7},
        {"task": "imagenet", "method": "vae", "guidance": 3},
        {"task": "imagenet", "method": "vae", "backbone": {"size": [1]}},
        {"task": "imagenet", "method": ["vae"]},
        {"task": "nothing", "method": "vae"},
    ],
)
def test_values_of_wrong_types_are_refused(values, rows, file_for):
    with pytest.raises(NanoGenError):
        import_checkpoint(file_for(rows[SD_VAE]), values)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_by_name(number, rows, file_for):
    file = file_for(rows[SD_VAE], **{"final_layer.linear.bias": torch.full((16,), number)})
    with pytest.raises(DataError, match=r"'final_layer\.linear\.bias' contains NaN or infinite values \(16 of 16\)"):
        import_checkpoint(file, recipe="sd-vae-ema")


def test_a_missing_and_an_unknown_tensor_are_named(rows, file_for, tmp_path):
    content = torch.load(file_for(rows[SD_VAE]))
    content["ema"]["blocks.0.surprise"] = content["ema"].pop("blocks.0.attn.k.bias")
    torch.save(content, tmp_path / "odd.pt")
    with pytest.raises(DataError, match=r"missing: blocks\.0\.attn\.k\.bias; unknown: blocks\.0\.surprise"):
        import_checkpoint(tmp_path / "odd.pt", recipe="sd-vae-ema")


def test_compiled_and_wrapped_weights_are_the_same_network(rows, file_for, tmp_path):
    content = torch.load(file_for(rows[SD_VAE]))
    plain = import_checkpoint(file_for(rows[SD_VAE]), recipe="sd-vae-ema").backbone.state_dict()
    content["ema"] = {f"module.{k.replace('blocks.0.', 'blocks.0._orig_mod.')}": x for k, x in content["ema"].items()}
    torch.save(content, tmp_path / "wrapped.pt")
    found = import_checkpoint(tmp_path / "wrapped.pt", recipe="sd-vae-ema").backbone.state_dict()
    assert found.keys() == plain.keys()


def test_a_file_of_no_known_layout_is_refused(tmp_path):
    torch.save({"conv.weight": torch.ones(2)}, tmp_path / "other.pt")
    with pytest.raises(DataError, match="contains no network of an installed backbone"):
        import_checkpoint(tmp_path / "other.pt", recipe="jit")


@pytest.mark.parametrize("backbone", ["lightning-dit", "ddt", "dit"])
def test_weights_in_nanogens_own_layout_need_no_import(backbone, tmp_path):
    build_pipeline(
        task="imagenet",
        method="vae",
        image_size=32,
        dataset="openmoji",
        tokenizer="openmoji-vae",
        backbone={"name": backbone, "size": "tiny"},
    ).save(tmp_path / "saved")
    file = tmp_path / "saved" / "backbone.safetensors"
    with pytest.raises(DataError, match=r"is in NanoGen's own layout.*`nanogen train CONFIG --init .*safetensors`"):
        import_checkpoint(file, recipe="sd-vae-ema")


def test_a_description_that_is_no_mapping_is_refused(rows, file_for):
    with pytest.raises(DataError, match="must be a JSON object"):
        import_checkpoint(file_for(rows[SD_VAE]), recipe="sd-vae-ema", architecture=["input_size"])
