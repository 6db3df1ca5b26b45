"""Every number of the published table holds in the recipe of its row, on both tasks, and every recipe can be built."""

import csv
import json
import re
import subprocess
import sys
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import pytest
import torch

from nanogen_core.assembly import Assembly
from nanogen_core.config import combine, resolve
from nanogen_core.registry import registry
from nanogen_core.specs import ConditionSpec

ROWS = list(csv.DictReader((Path(__file__).parent / "data" / "published_recipes.csv").open()))
TASKS = ("imagenet", "t2i")
OF_THE_TASK = {"task", "dataset", "conditioner", "encoder", "guidance"}  # what may differ between the two
LABELS = {"classes": tuple(f"class {number}" for number in range(1000))}
TEXTS = {"condition": ConditionSpec(width=1024, length=256, normalize=True, padded=True)}  # of Qwen3-0.6B
KNOWN = {"imagenet": LABELS, "t2i": TEXTS}


def recipe_of(row):
    """`E2E-FLUX.1-VAE` -> `e2e-flux1-vae`; other image sizes and MeanFlow's unguided row have names of their own."""
    name = row["method"].lower().replace(".", "").replace(" + ", "-").replace(" ", "-")
    size = "" if row["image_size"] == "256" else f"-{row['image_size']}"
    return name + size + ("-unguided" if row["meanflow_kappa"] == "0.0" else "")


NAMES = sorted({recipe_of(row) for row in ROWS})
EVERY = [(name, task) for name in NAMES for task in TASKS]


@lru_cache
def resolved(name, task):
    return resolve(combine(name, {"task": task}))


@lru_cache
def built(name, task):
    """The latent and the backbone without memory."""
    with torch.device("meta"):
        assembly = Assembly(resolved(name, task), KNOWN[task])
        return assembly["latent"], assembly["backbone"]


def guidance(configuration):
    """(scale, t_min, t_max) of classifier-free guidance; without it every step is as with scale 1."""
    part = configuration.groups["guidance"].get("cfg")
    return (1.0, 0.0, 1.0) if part is None else (part.config.scale, part.config.t_min, part.config.t_max)


def figures(name, task):
    """The columns of the table, as the resolved configuration has them."""
    configuration = resolved(name, task)
    slots = {kind: part.config for kind, part in configuration.slots.items()}
    latent, objective, backbone = built(name, task)[0], slots["objective"], slots["backbone"]
    tokenizer = slots["tokenizer"]
    return {
        "task": configuration.task,
        "image_size": configuration.image_size,
        "tokenizer": configuration.slots["tokenizer"].name,
        "preset": getattr(tokenizer, "preset", None) or getattr(tokenizer, "encoder", None) or "",
        "latent_channels": latent.channels,
        "latent_side": latent.height,
        "patch": backbone.patch_size or latent.patch_size,
        "hidden_encoder/decoder": f"{backbone.trunk.hidden}/{backbone.decoder.hidden}",
        "prediction": getattr(objective, "prediction", "velocity"),
        "time_mu": objective.time_mean,
        "time_sigma": objective.time_std,
        "shift_dim": latent.dimension if objective.shift is None else None,
        "reg_weight": objective.token_weight if "reg" in configuration.groups["auxiliary"] else "",
        "meanflow_kappa": getattr(objective, "kappa", ""),
        "steps": slots["sampler"].steps,
        **dict(zip(("cfg_scale", "cfg_t_min", "cfg_t_max"), guidance(configuration), strict=True)),
    }


def same(ours, theirs):
    """Numbers as numbers, words as words."""
    number = re.fullmatch(r"-?[\d.]+", theirs)
    return float(ours) == float(theirs) if number else str(ours) == theirs


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['task']}-{recipe_of(row)}")
def test_every_number_of_the_row_holds(row):
    found = figures(recipe_of(row), row["task"])
    columns = row.keys() - {"method"}
    assert columns == found.keys()
    assert {c: found[c] for c in columns if not same(found[c], row[c])} == {}


@pytest.mark.parametrize(("name", "task"), EVERY)
def test_the_rest_of_the_published_recipe_holds(name, task):
    configuration = resolved(name, task)
    optimizer, schedule = (configuration.slots[kind].config for kind in ("optimizer", "schedule"))
    assert (optimizer.lr, optimizer.beta1, optimizer.beta2, optimizer.weight_decay) == (2e-4, 0.9, 0.95, 0.0)
    assert (schedule.constant_steps, schedule.end_step, schedule.final) == (50_000, 1_000_000, 0.1)
    stage, train = configuration.slots["stage"].config, configuration.train
    assert (stage.ema_decay, stage.condition_dropout) == (0.9995, 0.1)
    assert (train.steps, train.batch_size, train.gradient_clip) == (100_000, 1024, 1.0)


@pytest.mark.parametrize("name", NAMES)
def test_the_tasks_differ_in_one_line(name):
    package, _, file = registry().recipes[name].partition(":")
    lines = (files(package) / file).read_text().splitlines()
    assert [line for line in lines if line.startswith("task:")] == ["task: imagenet"]
    assert len(lines) <= 9
    first, second = (resolved(name, task).as_dict() for task in TASKS)
    assert {key for key in first.keys() | second.keys() if first.get(key) != second.get(key)} <= OF_THE_TASK


@pytest.mark.parametrize(("name", "task"), EVERY)
def test_it_can_be_built_and_has_the_published_size(name, task):
    _, backbone = built(name, task)
    found = sum(parameter.numel() for parameter in backbone.parameters())
    hidden = resolved(name, task).slots["backbone"].config.trunk.hidden
    steered_head = 2 * 2048**2
    assert found == pytest.approx(matrices(28, hidden, 0) + matrices(2, 2048, 6) + steered_head, rel=0.025)
    assert hidden != 1152 or found == pytest.approx(615e6, rel=0.015)


def matrices(depth, hidden, steering):
    """The parameters of `depth` blocks: q, k, v, projection, SwiGLU (2/3 of 4 times as wide), adaLN."""
    return depth * (4 * hidden**2 + 3 * hidden * int(2 / 3 * 4 * hidden) + steering * hidden**2)


@pytest.mark.parametrize(("name", "millions"), [("sd-vae-ema", 611.3), ("dinov2-b", 615.3), ("jit", 615.3)])
def test_the_published_parameter_counts(name, millions):
    _, backbone = built(name, "imagenet")
    assert round(sum(parameter.numel() for parameter in backbone.parameters()) / 1e6, 1) == millions


def test_pixelgen_has_its_two_losses():
    losses = {name: part.config for name, part in resolved("pixelgen", "imagenet").groups["auxiliary"].items()}
    assert {name: (loss.weight, loss.below) for name, loss in losses.items()} == {
        "lpips": (0.1, 0.7), "patch-tokens": (0.01, 0.7)
    }  # fmt: skip


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", ["jit", "pixnerd", "pixelgen"])
def test_pixels_are_sampled_without_a_shift_but_for_pixnerd_on_text(name, task):
    with torch.device("meta"):
        objective = Assembly(resolved(name, task), KNOWN[task])["objective"]
    published = 48**0.5 if (name, task) == ("pixnerd", "t2i") else 1.0  # 48 = 3 * 256 * 256 / 4096
    assert (objective.shift, objective.sample_shift) == (pytest.approx(48**0.5), pytest.approx(published))


def nanogen(*words):
    command = [sys.executable, "-m", "nanogen_core", *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


def test_the_command_line_lists_them():
    listed = json.loads(nanogen("recipes", "--json"))
    assert set(NAMES) <= listed.keys()
    assert listed["jit"] == {"file": "nanogen_pixel:recipes/jit.yaml", "summary": "JiT: pixels, x-prediction."}
    assert all(recipe["summary"] for recipe in listed.values())
    lines = nanogen("recipes").splitlines()
    assert len(lines) == len(listed)
    assert any(re.fullmatch(r"jit +JiT: pixels, x-prediction\.", line) for line in lines)
