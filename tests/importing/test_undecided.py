"""What the tensors do not tell must be said: otherwise the import is refused, and lists who fits."""

import re

import pytest

from nanogen_core.errors import ConfigError, UnknownName
from nanogen_import import import_checkpoint, import_file

E2E_FLUX = "imagenet/ddt-en28d1152hd72-dn2d2048hd128-e2e-flux-vpred-t4c8"
SD_VAE = "imagenet/ddt-en28d1152hd72-dn2d2048hd128-sdvae-ema-vpred-t4c8"
SD_VAE_TEXT = "t2i/t2i-ddt-en28d1152hd72-dn2d2048hd128-sdvae-ema-vpred-t4"
FLUX2 = "imagenet/ddt-en28d1152hd72-dn2d2048hd128-flux2-vpred-t4c8"
SIGLIP2 = "imagenet/ddt-en28d1152hd72-dn2d2048hd128-rae-siglip2-vit-b-vpred-t4c8"
LANGPE = "imagenet/ddt-en28d1152hd72-dn2d2048hd128-rae-langpe-vit-l-vpred-t4c8"
REG = "imagenet/ddt-en28d1152hd72-dn2d2048hd128-rae-dinov2-reg0.03-rmsnorm-vpred-t4c8"
PIXELS = "imagenet/pixelgen-ddt-en28d1152hd72-dn2d2048hd128-xpred-t4c8-0.1lpips-0.01pdino-thresh0.7"
PIXELS_TEXT = "t2i/t2i-pixnerd-ddt-en28d1152hd72-dn2d2048hd128-vpred-t4"
MEANFLOW = "imagenet/mf-ddt-en28d1152hd72-dn2d2048hd128-sdvae-mse-vpred-t4c8-kappa0.0"

ALL = "tokenizer, prediction, shift and guidance"
OF_PIXELS = "prediction, shift and guidance"  # every recipe on three channels has pixels

SIXTEEN = {"e2e-flux1-vae", "e2e-qwen-image-vae", "e2e-sd35-vae", "flux1-vae", "qwen-image-vae", "sd35-vae"}
FITTING = {
    SD_VAE: (ALL, {"sd-vae-ema", "sd-vae-mse", "sdxl-vae"}),
    SD_VAE_TEXT: (ALL, {"sd-vae-ema", "sd-vae-mse", "sdxl-vae"}),
    E2E_FLUX: (ALL, SIXTEEN),
    FLUX2: (ALL, {"flux2-vae"}),
    SIGLIP2: (ALL, {"dinov2-b", "dinov3-b", "siglip2-b"}),
    LANGPE: (ALL, {"langpe-l", "pe-l", "spatialpe-l"}),
    REG: (ALL, {"dinov2-b-reg", "dinov3-b-reg"}),
    PIXELS: (OF_PIXELS, {"jit", "pixelgen", "pixnerd"}),
    PIXELS_TEXT: (OF_PIXELS, {"jit", "pixelgen", "pixnerd"}),
}


def refusal(file, **options):
    with pytest.raises(ConfigError) as caught:
        import_checkpoint(file, **options)
    return str(caught.value)


def recipes_in(sentence):
    return set(re.findall(r"--recipe ([\w-]+):", sentence))


@pytest.mark.parametrize("recipe", FITTING, ids=lambda name: name.replace("en28d1152hd72-dn2d2048hd128-", ""))
def test_a_file_alone_is_refused_with_the_recipes_that_fit(recipe, rows, file_for):
    sentence = refusal(file_for(rows[recipe]))
    what, names = FITTING[recipe]
    assert f"do not determine {what}." in sentence
    assert recipes_in(sentence) == names


def test_the_candidates_say_what_they_would_decide(rows, file_for):
    lines = refusal(file_for(rows[PIXELS])).splitlines()
    jit, _, pixnerd = sorted(line.strip() for line in lines if "--recipe" in line and "NAME" not in line)
    assert jit == (
        "--recipe jit: objective.prediction=x objective.shift=6.9282 objective.sample_shift=1 guidance.cfg.scale=2.6"
    )
    assert "objective.prediction=velocity" in pixnerd
    assert "guidance.cfg.scale=2.4" in pixnerd


def test_two_times_fit_meanflow_alone(rows, file_for):
    sentence = refusal(file_for(rows[MEANFLOW]))
    assert recipes_in(sentence) == {"meanflow", "meanflow-unguided"}
    assert "tokenizer" in sentence
    lines = [line.strip() for line in sentence.splitlines() if line.startswith("  --recipe")]
    assert lines == [
        f"--recipe {name}: tokenizer.preset=sdvae-mse objective.shift=1" for name in ("meanflow", "meanflow-unguided")
    ]


TOKENIZER = {"tokenizer": {"preset": "sdxl-vae"}}
PREDICTION = {"objective": {"prediction": "velocity"}}
SHIFT = {"objective": {"shift": 1.0}}
GUIDANCE = {"guidance": {"cfg": {"scale": 1.6}}}
OBJECTIVE = {"objective": {"prediction": "velocity", "shift": 1.0}}


@pytest.mark.parametrize(
    ("settings", "left"),
    [
        (TOKENIZER, "prediction, shift and guidance"),
        (PREDICTION, "tokenizer, shift and guidance"),
        (SHIFT, "tokenizer, prediction and guidance"),
        (GUIDANCE, "tokenizer, prediction and shift"),
        (TOKENIZER | OBJECTIVE, "guidance"),
        (TOKENIZER | GUIDANCE | PREDICTION, "shift"),
        (TOKENIZER | GUIDANCE | SHIFT, "prediction"),
        (OBJECTIVE | GUIDANCE, "tokenizer"),
        ({"tokenizer": "vae"} | OBJECTIVE | GUIDANCE, "tokenizer"),
        ({"tokenizer": {"name": "vae", "preset": None}} | OBJECTIVE | GUIDANCE, "tokenizer"),
        ({"method": "vae"} | GUIDANCE, "tokenizer"),
        ({"method": "vae"} | TOKENIZER, "guidance"),
    ],
)
def test_settings_decide_one_thing_each(settings, left, rows, file_for):
    assert f"do not determine {left}." in refusal(file_for(rows[SD_VAE]), settings=settings)


@pytest.mark.parametrize(
    "settings", [TOKENIZER | OBJECTIVE | GUIDANCE, {"method": "vae"} | TOKENIZER | GUIDANCE], ids=["each", "method"]
)
def test_settings_may_decide_everything(settings, rows, file_for):
    pipeline = import_checkpoint(file_for(rows[SD_VAE]), settings=settings)
    slots = pipeline.config.slots
    assert (slots["tokenizer"].name, slots["tokenizer"].config.preset) == ("vae", "sdxl-vae")
    assert slots["objective"].config.prediction == "velocity"
    assert pipeline.config.groups["guidance"]["cfg"].config.scale == 1.6
    assert pipeline.config.image_size == 256


def test_no_guidance_is_a_decision_too(rows, file_for):
    settings = TOKENIZER | OBJECTIVE | {"guidance": {"cfg": None}}
    imported = import_file(file_for(rows[SD_VAE]), settings=settings)
    assert not imported.pipeline.guidance
    assert "guidance: none (--set)" in map(str, imported.decisions)


def test_a_recipe_decides_everything_and_settings_change_it(rows, file_for):
    file = file_for(rows[PIXELS_TEXT])
    for recipe, prediction in (("jit", "x"), ("pixnerd", "velocity")):
        pipeline = import_checkpoint(file, recipe=recipe, settings={"guidance": {"cfg": {"scale": 3.0}}})
        assert pipeline.config.task == "t2i"  # the file's texts; the recipe says imagenet
        assert pipeline.config.slots["objective"].config.prediction == prediction
        assert pipeline.config.groups["guidance"]["cfg"].config.scale == 3.0


def test_every_decision_is_told_with_its_source(rows, file_for):
    settings = {"sampler": {"steps": 7}}
    file = file_for(rows[SD_VAE])
    told = list(map(str, import_file(file, recipe="sd-vae-ema", settings=settings, weights="model").decisions))
    assert f"weights: model ({file})" in told
    for line in (
        "task: imagenet (recipe sd-vae-ema)",
        "image_size: 256 (the file's tensors)",
        "tokenizer: vae (recipe sd-vae-ema)",
        "tokenizer.preset: sdvae-ema (recipe sd-vae-ema)",
        "backbone: ddt (the file's tensors)",
        "backbone.hidden: 16 (the file's tensors)",
        "objective: flow (method vae)",
        "objective.prediction: velocity (default)",
        "objective.shift: 1 (default)",
        "guidance.cfg.scale: 1.6 (recipe sd-vae-ema)",
        "guidance.cfg.t_max: 0.9 (task imagenet)",
        "sampler.steps: 7 (--set)",
    ):
        assert line in told


def test_a_configuration_of_ours_decides_what_it_says(rows, file_for, tmp_path):
    file, config = file_for(rows[SD_VAE]), tmp_path / "own.yaml"
    config.write_text("task: imagenet\nmethod: vae\ntokenizer: {name: vae, preset: sdvae-mse}\n")
    assert "do not determine guidance." in refusal(file, config=config)
    config.write_text(config.read_text() + "guidance: {cfg: {scale: 2.0}}\n")
    told = list(map(str, import_file(file, config).decisions))
    assert f"guidance.cfg.scale: 2 ({config})" in told
    assert f"tokenizer.preset: sdvae-mse ({config})" in told


def test_a_saved_configuration_decides_everything(rows, file_for, tmp_path):
    file = file_for(rows[SD_VAE])
    import_checkpoint(file, recipe="sd-vae-mse").save(tmp_path / "saved")
    again = import_checkpoint(file, tmp_path / "saved" / "config.yaml")
    assert again.config.as_dict() == import_checkpoint(file, recipe="sd-vae-mse").config.as_dict()


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"guidance": {"cfg": {"scale": 2.0}}, "sampler": {"num_steps": 50}}, "could be a configuration of NanoGen or"),
        ({}, "could be a configuration of NanoGen or of another program"),
        ({"task": "imagenet", "stage_2": {}}, r"has keys of NanoGen \(task\) and unknown keys \(stage_2\)"),
        ({"task": "imagenet", "tokeniser": "vae"}, r"\(tokeniser\)\. Did you mean 'tokenizer'\?"),
    ],
)
def test_a_configuration_of_no_clear_kind_is_refused(values, sentence, rows, file_for):
    assert re.search(sentence, refusal(file_for(rows[SD_VAE]), config=values))


def test_a_recipe_has_its_own_option(rows, file_for):
    file = file_for(rows[SD_VAE])
    assert refusal(file, config="jit").endswith("jit is the name of a recipe: use --recipe jit.")
    assert "not both" in refusal(file, config={"task": "imagenet"}, recipe="jit")
    with pytest.raises(UnknownName, match="There is no recipe 'jut'. Did you mean 'jit'"):
        import_checkpoint(file, recipe="jut")
