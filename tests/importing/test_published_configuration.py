"""The published configuration of a checkpoint decides everything, in every recorded row, and must fit its file."""

import json

import pytest
import yaml
from published_files import ROWS, SIZES, condition_of, configuration
from test_undecided import FITTING, MEANFLOW, PIXELS, PIXELS_TEXT, REG, SD_VAE, SD_VAE_TEXT, SIGLIP2

from nanogen_core.config import resolve
from nanogen_core.errors import ConfigError
from nanogen_core.specs import LatentSpec
from nanogen_dit.published.architecture import Architecture
from nanogen_dit.published.configuration import hints, parse, translate
from nanogen_import import import_checkpoint, import_file

FAMILIES = [SD_VAE, SD_VAE_TEXT, SIGLIP2, REG, PIXELS, PIXELS_TEXT, MEANFLOW]
OTHERS = sorted(FITTING.keys() - set(FAMILIES))


def short(recipe):
    return recipe.replace("en28d1152hd72-dn2d2048hd128-", "")


def decided(pipeline):
    """What the recorded rows have columns for, as the imported pipeline has it."""
    slots, groups = ({k: p.config for k, p in pipeline.config.slots.items()}, pipeline.config.groups)
    objective, tokenizer = slots["objective"], slots["tokenizer"]
    cfg = groups["guidance"].get("cfg")
    scale, low, high = (1.0, 0.0, 1.0) if cfg is None else (cfg.config.scale, cfg.config.t_min, cfg.config.t_max)
    found = {
        "task": pipeline.config.task,
        "image_size": pipeline.config.image_size,
        "tokenizer": getattr(tokenizer, "preset", None) or getattr(tokenizer, "encoder", None) or "pixel",
        "latent": list(pipeline.latent.shape),
        "prediction": getattr(objective, "prediction", "velocity"),
        "times": f"logit-normal_{objective.time_mean:g}_{objective.time_std:g}",
        "t_eps": objective.t_eps,
        "shifts": [round(objective.shift, 6), round(getattr(objective, "sample_shift", 1.0), 6)],
        "steps": slots["sampler"].steps,
        "applied": scale > 1,
        "dropout": slots["stage"].condition_dropout,
        "auxiliary": sorted(groups["auxiliary"]),
    }
    return {**found, "guidance": [scale, low, high]} if scale > 1 else found


def recorded(row):
    guidance = row["guidance"]
    mean, std = map(float, row["time_distribution"].split("_")[1:])
    losses = ["lpips", "patch-tokens"] if row["perceptual"] else []
    found = {
        "task": row["task"],
        "image_size": row["image_size"],
        "tokenizer": row["tokenizer"]["name"],
        "latent": row["latent"],
        "prediction": row["prediction"],
        "times": f"logit-normal_{mean:g}_{std:g}",
        "t_eps": row["t_eps"],
        "shifts": [row["training_shift"], row["sampling_shift"]],
        "steps": row["sampler"]["steps"],
        "applied": guidance["applied"],
        "dropout": row["conditioning"]["dropout"],
        "auxiliary": [*losses, *(["reg"] if row["repa"]["use_reg"] else [])],
    }
    interval = [guidance["cfg_scale"], guidance["t_min"], guidance["t_max"]]
    return {**found, "guidance": interval} if guidance["applied"] else found


@pytest.mark.parametrize("recipe", [*FAMILIES, *OTHERS], ids=short)
def test_everything_is_taken_from_it(recipe, rows, file_for):
    row = rows[recipe]
    assert decided(import_checkpoint(file_for(row), configuration(row))) == recorded(row)


def test_every_recorded_row_is_translated():
    for row in json.loads(ROWS.read_text())["rows"]:
        wanted = {"two-time"} if row["meanflow"] else {"cls-token"} if row["repa"]["use_reg"] else set()
        settings = {**SIZES, "mlp_ratio": 4.0, "patch_size": row["model"]["patch"][0], "time_tokens": 4}
        found = Architecture("ddt", settings, LatentSpec(*row["latent"]), condition_of(row), frozenset(wanted))
        resolved = resolve({**translate(parse(configuration(row)), found), "backbone": {"name": "ddt", **settings}})
        scales = [part.config.scale for part in resolved.groups["guidance"].values()]
        assert resolved.task == row["task"]
        assert scales == [row["guidance"]["cfg_scale"]] * (row["meanflow"] is None)
        assert resolved.slots["objective"].config.shift == pytest.approx(row["training_shift"], abs=1e-5)
        assert resolved.slots["sampler"].config.steps == row["sampler"]["steps"]


def test_weights_and_sources_are_told(rows, file_for, tmp_path):
    row, path = rows[PIXELS], tmp_path / "published.yaml"
    path.write_text(yaml.safe_dump(configuration(row)))
    imported = import_file(file_for(row), path, settings={"sampler": {"steps": 9}})
    told = list(map(str, imported.decisions))
    for line in (
        f"tokenizer: pixel ({path})",
        f"objective.prediction: x ({path})",
        f"objective.sample_shift: 1 ({path})",
        f"guidance.cfg.scale: 2 ({path})",
        "sampler.steps: 9 (--set)",
        "backbone.hidden: 16 (the file's tensors)",
    ):
        assert line in told


def test_meanflow_and_rae_details(rows, file_for):
    meanflow = import_checkpoint(file_for(rows[MEANFLOW]), configuration(rows[MEANFLOW]))
    options = meanflow.config.slots["objective"].config
    assert (options.omega, options.kappa, options.probability) == (1.0, 0.0, 0.25)
    assert not meanflow.guidance
    reg = import_checkpoint(file_for(rows[REG]), configuration(rows[REG]))
    tokenizer = reg.config.slots["tokenizer"].config
    assert tokenizer.decoder.size == "XL"
    assert tokenizer.decoder.path.endswith("dinov2-vit-b/decoder.pt")
    assert tokenizer.statistics.endswith("dinov2-vit-b/stats.pt")
    assert reg.config.groups["auxiliary"]["reg"].config.teacher == "dinov2-vit-b"
    assert reg.config.slots["objective"].config.cls_token_weight == 0.03


def test_the_size_of_a_file_without_rotary_tables_comes_from_it(rows):
    values = configuration(rows[SD_VAE])
    assert hints(parse(values), {})["input_size"] == 32
    assert hints(parse(changed(values, "stage_2.params.input_size", None)), {})["input_size"] == 32
    assert "input_size" not in hints(parse(changed(values, "misc.latent_size", [])), {})


def test_the_decoder_of_an_rae_is_required(rows):
    values = changed(configuration(rows[SIGLIP2]), "stage_1.params.decoder_config_path", None)
    with pytest.raises(ConfigError, match=r"stage_1\.params\.decoder_config_path is missing"):
        parse(values)


def changed(values, path, value):
    """The configuration with another value at a dotted path; None takes the key away."""
    *outer, last = path.split(".")
    section = values
    for key in outer:
        section = section.setdefault(key, {})
    if value is None:
        section.pop(last)
    else:
        section[last] = value
    return values


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("stage_2.params.in_channels", 16, "stage_2.params.in_channels is 16, but 4"),
        ("stage_2.params.hidden_size", [1152, 2048], r"hidden_size is \[1152, 2048\], but \[16, 32\]"),
        ("stage_2.params.depth", [28, 2], r"depth is \[28, 2\], but \[2, 1\]"),
        ("stage_2.params.num_heads", [2, 4], r"num_heads is \[2, 4\], but \[2, 2\]"),
        ("stage_2.params.patch_size", [1, 1], r"patch_size is \[1, 1\], but \[2, 2\]"),
        ("stage_2.params.mlp_ratio", 2.0, "mlp_ratio is 2.0, but 3.98"),
        ("stage_2.params.input_size", 64, "input_size is 64, but 32"),
        ("misc.latent_size", [4, 64, 64], r"latent_size is \[4, 64, 64\], but \[4, 32, 32\]"),
        ("misc.num_classes", 1000, "misc.num_classes is 1000, but 10"),
        ("conditioning.arch.num_t_tokens", 8, "num_t_tokens is 8, but 4"),
        ("conditioning.arch.num_c_tokens", 4, "num_c_tokens is 4, but 8"),
        ("dataset.condition_type", "text", "conditioning.type is text, but label"),
        ("transport.meanflow", {"cfg_kappa": 0.5}, "transport.meanflow is True, but False"),
        ("repa.use_reg", True, "repa.use_reg is True, but False"),
        ("stage_2.target", "stage2.models.lightningDiT.LightningDiT", "is lightning-dit, but ddt"),
        ("stage_2.target", "stage2.models.DDT.DiTwDDTHeadIG", "internal guidance is True, but False"),
    ],
)
def test_one_of_another_checkpoint_is_refused_with_both_values(path, value, sentence, rows, file_for):
    with pytest.raises(ConfigError, match=sentence):
        import_checkpoint(file_for(rows[SD_VAE]), changed(configuration(rows[SD_VAE]), path, value))


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("stage_3", {}, r"stage_3: unknown key\. Did you mean 'stage_"),
        ("stage_2.params.hiden_size", 5, r"stage_2\.params\.hiden_size: unknown key\. Did you mean 'hidden_size'"),
        ("transport.t_epsilon", 0.1, r"transport\.t_epsilon: unknown key.*[^.]\.$"),
        ("transport.prediction", "epsilon", r"transport\.prediction: expected one of velocity, x, got 'epsilon'"),
        ("transport.time_dist_type", "uniform", "time_dist_type must be logit-normal_MEAN_STD, got 'uniform'"),
        ("sampler.num_steps", "50", r"sampler\.num_steps: expected an integer, got '50'"),
        ("sampler", None, "sampler is missing"),
        ("misc.time_dist_shift_dim", None, "time_dist_shift_dim is missing"),
        ("stage_1.params.vae_type", None, r"stage_1\.params\.vae_type is missing"),
        ("stage_1.params.vae_type", "sdvae", "There is no VAE preset 'sdvae'. Did you mean 'sdxl-vae'"),
        ("stage_1.target", "stage1.TAE", "stage_1.target 'stage1.TAE' is unknown. Use one of the published classes"),
        ("stage_2.target", "stage2.models.UNet", "stage_2.target 'stage2.models.UNet' is unknown. Use one"),
        ("perceptual_loss", {"encoders": "lpips"}, "Give one weight for each encoder"),
        ("misc.time_dist_shift_base", 0, r"misc\.time_dist_shift_base: must be above 0 and at most .*, got 0"),
        ("dataset.condition_type", "caption", "dataset.condition_type must be label or text, got 'caption'"),
        ("conditioning", "label", r"conditioning: expected a mapping, got 'label'"),
        ("stage_2.params", [1], r"stage_2\.params: expected a mapping, got \[1\]"),
        ("training.image_size", 512, "itself: training.image_size is 512, but stage_1.params.resolution is 256"),
        ("guidance.ig", {"scale": 1.5}, "has guidance.ig.scale 1.5, but the checkpoint has no internal-guidance head"),
    ],
)
def test_a_wrong_one_is_refused_by_its_key(path, value, sentence, rows, file_for):
    with pytest.raises(ConfigError, match=sentence):
        import_checkpoint(file_for(rows[SD_VAE]), changed(configuration(rows[SD_VAE]), path, value))


def test_several_mistakes_are_told_at_once(rows, file_for):
    values = changed(changed(configuration(rows[SD_VAE]), "stage_3", {}), "sampler.num_steps", "50")
    with pytest.raises(ConfigError, match=r"sampler\.num_steps: .*; stage_3: unknown key"):
        import_checkpoint(file_for(rows[SD_VAE]), values)


def test_a_pixel_file_takes_the_prediction_from_it(rows, file_for):
    """The same file, with the configuration of either."""
    file = file_for(rows[PIXELS_TEXT])
    for prediction in ("velocity", "x"):
        values = changed(configuration(rows[PIXELS_TEXT]), "transport.prediction", prediction)
        assert import_checkpoint(file, values).config.slots["objective"].config.prediction == prediction


def test_what_is_not_published_is_never_guessed(rows, file_for):
    """A file of two times with the configuration of a plain one."""
    with pytest.raises(ConfigError, match="transport.meanflow is False, but True"):
        import_checkpoint(file_for(rows[MEANFLOW]), changed(configuration(rows[MEANFLOW]), "transport.meanflow", None))
    values = changed(configuration(rows[MEANFLOW]), "transport.meanflow.cfg_t_end", 0.5)
    with pytest.raises(ConfigError, match="published MeanFlow configuration is not supported"):
        import_checkpoint(file_for(rows[MEANFLOW]), values)
