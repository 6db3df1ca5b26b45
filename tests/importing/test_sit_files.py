"""SiT's checkpoints as pipelines: bare state dicts, files of its training script, and DiT's, which are refused."""

import argparse
import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from test_undecided import SD_VAE, recipes_in, refusal

from nanogen_core import Pipeline
from nanogen_core.errors import ConfigError, DataError
from nanogen_core.randomness import KeyedRNG
from nanogen_core.sampling import velocity_field
from nanogen_core.specs import ConditionSpec, LatentSpec
from nanogen_core.tensors import Batch, State
from nanogen_dit.dit import DiT
from nanogen_dit.dit_config import DIT_SIZES, DiTConfig
from nanogen_dit.dit_published import export_sit
from nanogen_dit.dit_published.architecture import infer
from nanogen_import import import_checkpoint, import_file

FIXTURES = Path(__file__).parents[2] / "plugins" / "nanogen-dit" / "tests" / "sit_fixtures"
FILE = FIXTURES / "sit_sigma.safetensors"
HEADS = {"backbone": {"heads": 4}}
ARGUMENTS = {
    "model": "SiT-XL/2",
    "image_size": 64,
    "num_classes": 7,
    "vae": "ema",
    "path_type": "Linear",
    "prediction": "velocity",
    "loss_weight": None,
    "cfg_scale": 4.0,
}


def tensors():
    return {key.removeprefix("ckpt."): x for key, x in load_file(FILE).items() if key.startswith("ckpt.")}


def saved(tmp_path, content):
    torch.save(content, tmp_path / "sit.pt")
    return tmp_path / "sit.pt"


def trained(tmp_path, **changed):
    """A file of SiT's training script."""
    arguments = {key: value for key, value in {**ARGUMENTS, **changed}.items() if value != "absent"}
    model = {name: x + 1 if name != "pos_embed" else x for name, x in tensors().items()}
    content = {"model": model, "ema": tensors(), "opt": {"state": {}}, "args": argparse.Namespace(**arguments)}
    return saved(tmp_path, content)


def test_a_file_alone_is_refused_and_warns_of_dit():
    sentence = refusal(FILE)
    assert "do not determine tokenizer, prediction, shift, guidance and number of attention heads." in sentence
    assert "DiT checkpoints have the same tensors" in sentence
    assert recipes_in(sentence) == {"sit"}


def test_the_recipe_gives_the_published_samples(tmp_path):
    facts = json.loads((FIXTURES / "sit_sigma.json").read_text())
    settings = {**HEADS, "sampler": {"steps": facts["steps"]}, "guidance": {"cfg": {"scale": facts["scale"]}}}
    imported = import_file(FILE, recipe="sit", settings=settings)
    imported.pipeline.save(tmp_path / "saved")
    pipeline, recorded = Pipeline.load(tmp_path / "saved"), load_file(FILE)
    labels = recorded["in.labels"]
    condition = pipeline.conditioner.encode(Batch(torch.arange(len(labels)), labels=labels))
    velocity_fn = velocity_field(pipeline.objective, pipeline.backbone)
    velocity_fn = pipeline.guidance["cfg"].wrap(velocity_fn, pipeline.conditioner.null(len(labels)))
    noise, rng = State(recorded["in.noise"]), KeyedRNG(0, [])
    ours = pipeline.sampler.sample(pipeline.objective, velocity_fn, noise, condition, facts["steps"], rng).latent
    theirs = recorded["out.sample_cfg_three"]
    assert float((ours - theirs).abs().max() / theirs.abs().max()) < 1e-4
    told = list(map(str, imported.decisions))
    assert "guidance.cfg.channels: 3 (recipe sit)" in told
    assert any("dropped the learned variance" in line for line in told)
    assert any("negated the velocity" in line for line in told)


def test_heads_that_no_shape_tells_must_be_said():
    assert refusal(FILE, recipe="sit").endswith("number of attention heads: set backbone.heads (--set KEY=VALUE).")
    pipeline = import_checkpoint(FILE, recipe="sit", architecture={"config": {"num_heads": 6}})
    assert pipeline.config.slots["backbone"].config.heads == 6


@pytest.mark.parametrize("size", ["S", "B", "L", "XL"])
@pytest.mark.parametrize("patch", [2, 4, 8])
def test_the_published_sizes_are_known_by_their_shapes(size, patch):
    with torch.device("meta"):
        config = DiTConfig(size=size, patch_size=patch, reverse_time=True)
        condition = ConditionSpec(width=1001, length=1, learned=8)
        network = DiT(config, latent=LatentSpec(4, 32, 32), condition=condition)
        shapes = {name: tuple(x.shape) for name, x in export_sit(network).items()}
    found = infer(shapes)
    trunk = DIT_SIZES[size]
    assert found.settings["heads"] == trunk.heads
    assert (found.settings["hidden"], found.settings["depth"]) == (trunk.hidden, trunk.depth)
    assert (found.settings["patch_size"], found.latent.shape, found.condition.width) == (patch, (4, 32, 32), 1001)
    assert not found.open_heads


def test_the_arguments_of_the_training_script_decide(tmp_path):
    file = trained(tmp_path)
    assert "do not determine guidance." in refusal(file, settings=HEADS)
    imported = import_file(file, settings={**HEADS, "guidance": {"cfg": {"scale": 1.5}}}, weights="model")
    told = list(map(str, imported.decisions))
    assert f"weights: model ({file})" in told
    assert "tokenizer.preset: sdvae-ema (the arguments in the file)" in told
    assert "objective.prediction: velocity (the arguments in the file)" in told
    assert "objective.shift: 1 (the arguments in the file)" in told
    expected = -(tensors()["final_layer.linear.bias"] + 1).reshape(4, 8)[:, :4].flatten()
    assert torch.equal(imported.pipeline.backbone.head.readout.bias, expected)


def test_the_other_vae_of_the_script(tmp_path):
    pipeline = import_checkpoint(trained(tmp_path, vae="mse"), settings={**HEADS, "guidance": {"cfg": {"scale": 1.5}}})
    assert pipeline.config.slots["tokenizer"].config.preset == "sdvae-mse"


def test_a_recipe_that_says_another_vae_than_the_file_is_refused(tmp_path):
    file = trained(tmp_path, vae="mse")
    sentence = refusal(file, recipe="sit", settings=HEADS)
    assert "recipe sit has tokenizer.preset=sdvae-ema, but the arguments in the file" in sentence
    assert "have tokenizer.preset=sdvae-mse: add --set tokenizer.preset=VALUE" in sentence
    for preset in ("sdvae-ema", "sdvae-mse"):
        pipeline = import_checkpoint(file, recipe="sit", settings={**HEADS, "tokenizer": {"preset": preset}})
        assert pipeline.config.slots["tokenizer"].config.preset == preset
    same = import_checkpoint(trained(tmp_path), recipe="sit", settings=HEADS)
    assert same.config.slots["tokenizer"].config.preset == "sdvae-ema"


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"path_type": "absent", "prediction": "absent"}, "written by DiT's training script .* epsilon-prediction"),
        ({"path_type": "GVP"}, "a SiT with path 'GVP' and prediction 'velocity'. Only the linear path"),
        ({"path_type": "VP"}, "path 'VP'"),
        ({"prediction": "noise"}, "prediction 'noise'"),
        ({"prediction": "score"}, "prediction 'score'"),
        ({"num_classes": 1000}, "arguments have num_classes 1000, but its embedding table implies num_classes 7"),
    ],
)
def test_other_kinds_are_refused_by_their_arguments(changed, sentence, tmp_path):
    with pytest.raises(DataError, match=sentence):
        import_checkpoint(trained(tmp_path, **changed), recipe="sit", settings=HEADS)


@pytest.mark.parametrize(
    ("recipe", "settings", "sentence"),
    [
        ("sd-vae-mse", {}, "recipe sd-vae-mse has the backbone 'ddt', but .* contains a 'dit'"),
        ("jit", {}, "recipe jit has the backbone 'ddt'"),
        (
            "sit",
            {"objective": {"prediction": "epsilon"}},
            "prediction epsilon, but only SiT's velocity .*DiT's epsilon",
        ),
        ("sit", {"objective": {"prediction": "x"}}, "prediction x, but only SiT's velocity"),
        ("sit", {"backbone": {"size": "XL"}}, "hidden 1152, but the checkpoint has 48; depth 28, but .* 3"),
        ("sit", {"backbone": {"patch_size": 4}}, "patch_size 4, but the checkpoint has 2"),
        ("sit", {"backbone": {"reverse_time": False}}, "reverse_time False, but the checkpoint has True"),
        ("sit", {"backbone": {"time_factor": 1000.0}}, "time_factor 1000.0, but the checkpoint has 1.0"),
        ("sit", {"tokenizer": {"preset": "flux"}}, r"latents \(4, 8, 8\) .* latents \(16, 8, 8\) at 64 px"),
        ("sit", {"dataset": "openmoji"}, "condition of width 8 .* task 'imagenet' has width 65"),
        ("sit", {"task": "t2i"}, "condition of width 8 .* task 't2i' has width 1024"),
        (None, {"method": "jit", "guidance": {"cfg": {"scale": 2.0}}}, "prediction x, but only SiT's velocity"),
        (None, {"method": "meanflow", "tokenizer": {"preset": "sdvae-mse"}}, "need two-time, which the backbone"),
    ],
)
def test_conflicts_are_refused(recipe, settings, sentence):
    both = {**settings, "backbone": {**HEADS["backbone"], **settings.get("backbone", {})}}
    with pytest.raises(ConfigError, match=sentence):
        import_checkpoint(FILE, recipe=recipe, settings=both)


def test_a_published_configuration_of_another_family_is_refused():
    with pytest.raises(ConfigError, match="is a SiT, and SiT has no published configuration files"):
        import_checkpoint(FILE, {"stage_1": {}, "stage_2": {}})


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda t: t.pop("blocks.1.attn.qkv.bias"), "missing: blocks.1.attn.qkv.bias"),
        (lambda t: t.pop("t_embedder.mlp.0.weight"), "missing: t_embedder.mlp.0.weight"),
        (lambda t: t.pop("pos_embed"), "pos_embed is missing"),
        (lambda t: t.update(surprise=torch.ones(1)), "unknown: surprise"),
        (lambda t: t.update({"blocks.0.attn.proj.bias": torch.ones(3)}), r"proj\.bias \[3\] instead of \[48\]"),
        (
            lambda t: t.update({"final_layer.linear.weight": torch.ones(20, 48)}),
            "predicts 5 channels per cell, expected 4 or 8",
        ),
        (lambda t: t.update(pos_embed=t["pos_embed"] + 0.01), "is not SiT's fixed sine-cosine table"),
        (lambda t: t.update(pos_embed=t["pos_embed"][:, :15]), "has 15 positions, not a square number"),
        (
            lambda t: t["blocks.0.mlp.fc1.bias"].fill_(float("nan")),
            r"'blocks\.0\.mlp\.fc1\.bias' contains NaN or infinite values \(192 of 192\)",
        ),
        (lambda t: t.pop("y_embedder.embedding_table.weight"), "y_embedder.embedding_table.weight is missing"),
    ],
)
def test_wrong_tensors_are_named(change, sentence, tmp_path):
    content = tensors()
    change(content)
    with pytest.raises(DataError, match=re.escape(sentence) if "\\" not in sentence else sentence):
        import_checkpoint(saved(tmp_path, content), recipe="sit", settings=HEADS)


def test_compiled_blocks_are_the_same_network(tmp_path):
    wrapped = {f"module.{name.replace('blocks.1.', 'blocks.1._orig_mod.')}": x for name, x in tensors().items()}
    found, plain = (
        import_checkpoint(saved(tmp_path, content), recipe="sit", settings=HEADS).backbone.state_dict()
        for content in (wrapped, tensors())
    )
    assert found.keys() == plain.keys()
    assert all(torch.equal(x, plain[name]) for name, x in found.items())


def test_files_of_the_other_layout_are_not_taken_for_one(rows, file_for):
    assert import_checkpoint(file_for(rows[SD_VAE]), recipe="sd-vae-ema").config.slots["backbone"].name == "ddt"
