"""Every recipe is as published on both tasks, and can be built."""

import csv
import json
import re
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

from nanogen_core.config import combine, resolve
from nanogen_core.registry import registry
from nanogen_files.config_diff import flat
from tests.fidelity.checks.published_configs import compared, leaves, published
from tests.fidelity.recipes import names
from tests.fidelity.recipes.ours import as_row
from tests.fidelity.recipes.parts import parts_of

#: The published table: a few numbers of all 26 recipes.
TABLE = list(csv.DictReader((Path(__file__).parent / "data" / "published_recipes.csv").open()))
#: The published configuration files: all numbers of every second recipe.
FILE = Path(__file__).parent / "fidelity" / "fixtures" / "published_configs.json"
ROWS = json.loads(FILE.read_text())["rows"]
TASKS = ("imagenet", "t2i")

#: What may differ between the tasks: conditioning, data, metrics and guidance,
OF_THE_TASK = ("task.", "dataset.", "conditioner.", "encoder.", "metric.", "guidance.")
#: the published epochs (of 1,251 steps on ImageNet, of 10,000 for text), which the schedule is counted in,
EPOCHS = ("train.steps", "schedule.constant_steps", "schedule.end_step")
#: and one exception of the published system.
EXCEPTIONS = {"pixnerd": ("objective.sample_shift",)}


def recipe_of(row):
    """`E2E-FLUX.1-VAE` -> `e2e-flux1-vae`; other image sizes and MeanFlow's unguided row have names of their own."""
    name = row["method"].lower().replace(".", "").replace(" + ", "-").replace(" ", "-")
    size = "" if row["image_size"] == "256" else f"-{row['image_size']}"
    return name + size + ("-unguided" if row["meanflow_kappa"] == "0.0" else "")


NAMES = sorted({recipe_of(row) for row in TABLE})
EVERY = [(name, task) for name in NAMES for task in TASKS]
WITH_REG = [(name, task) for name, task in EVERY if name.endswith("-reg")]


# -- as published ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["file"])
def test_every_field_of_the_published_configuration_holds(row):
    assert [measurement.name for measurement in compared(row) if not measurement.holds] == []


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row['task']}-{recipe_of(row)}")
def test_every_number_of_the_published_table_holds(row):
    found = in_the_table(as_row(recipe_of(row), row["task"]))
    columns = row.keys() - {"method"}
    assert columns == found.keys()
    assert {c: found[c] for c in columns if not same(found[c], row[c])} == {}


def in_the_table(row):
    """The columns of the published table."""
    mean, std = row["time_distribution"].split("_")[1:]
    tokenizer, guidance = row["tokenizer"], row["guidance"]
    return {
        "task": row["task"],
        "image_size": row["image_size"],
        "tokenizer": tokenizer["cls"],
        "preset": "" if tokenizer["cls"] == "pixel" else tokenizer["name"],
        "latent_channels": row["latent"][0],
        "latent_side": row["latent"][1],
        "patch": row["model"]["patch"][0],
        "hidden_encoder/decoder": "/".join(map(str, row["model"]["hidden"])),
        "prediction": row["prediction"],
        "time_mu": mean,
        "time_sigma": std,
        "shift_dim": row["shift_dim"],
        "reg_weight": row["repa"]["reg_coeff"] or "",
        "meanflow_kappa": "" if row["meanflow"] is None else row["meanflow"]["cfg_kappa"],
        "steps": row["sampler"]["steps"],
        "cfg_scale": guidance["cfg_scale"],
        "cfg_t_min": guidance["t_min"],
        "cfg_t_max": guidance["t_max"],
    }


def same(ours, theirs):
    """Numbers as numbers, words as words."""
    number = re.fullmatch(r"-?[\d.]+", theirs)
    return float(ours) == float(theirs) if number else str(ours) == theirs


#: Fields that say nothing of one method, tokenizer or image size.
OF_EVERY_RECIPE = ("task", "training.", "data.", "evaluation.", "t_eps", "sampler.kind", "repa.use_repa")
OF_EVERY_CONDITION = tuple(f"conditioning.{name}" for name in ("type", "condition_tokens", "dropout", "null", "width"))


def shared(rows):
    """The fields that are the same in all of these published rows."""
    first, *others = (published(row) for row in rows)
    return {name: value for name, value in first.items() if all(row.get(name) == value for row in others)}


@pytest.mark.parametrize(("name", "task"), EVERY)
def test_what_all_published_configurations_of_a_task_share_holds(name, task):
    """Also in the recipes whose own configurations are not among the rows."""
    fields = shared([row for row in ROWS if row["task"] == task]).items()
    common = {field: value for field, value in fields if field.startswith((*OF_EVERY_RECIPE, *OF_EVERY_CONDITION))}
    assert {"training.schedule.linear_to_step", "training.clip", "data.flip", "conditioning.null"} <= common.keys()
    found = leaves(as_row(name, task))
    assert {field: found.get(field) for field in common if found.get(field) != common[field]} == {}


@pytest.mark.parametrize(("name", "task"), WITH_REG)
def test_reg_is_alone(name, task):
    common = shared([row for row in ROWS if row["repa"]["use_reg"]])
    assert common["repa.use_repa"] is False
    wanted = {field.removeprefix("repa."): value for field, value in common.items() if field.startswith("repa.")}
    assert as_row(name, task)["repa"] == wanted


@pytest.mark.parametrize("task", TASKS)
def test_guided_meanflow_differs_from_the_published_unguided_one_in_kappa(task):
    (published_settings, *_) = [row["meanflow"] for row in ROWS if row["meanflow"] is not None]
    assert as_row("meanflow", task)["meanflow"] == {**published_settings, "cfg_kappa": 0.5}


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", ["jit", "pixnerd", "pixelgen"])
def test_pixels_are_sampled_without_a_shift_but_for_pixnerd_on_text(name, task):
    row = as_row(name, task)
    shift = 48**0.5  # 48 = 3 * 256 * 256 / 4096
    assert row["training_shift"] == pytest.approx(shift)
    assert row["sampling_shift"] == pytest.approx(shift if (name, task) == ("pixnerd", "t2i") else 1.0)


@pytest.mark.parametrize("task", TASKS)
def test_pixelgen_has_its_two_losses_on_both_tasks(task):
    (perceptual, *_) = [row["perceptual"] for row in ROWS if row["perceptual"] is not None]
    assert as_row("pixelgen", task)["perceptual"] == perceptual


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row['task']}-{recipe_of(row)}")
def test_a_configuration_of_any_row_of_the_table_finds_its_recipe(row):
    facts = {
        "tokenizer": {"name": row["preset"] or row["tokenizer"]},
        "image_size": int(row["image_size"]),
        "repa": {"use_reg": bool(row["reg_weight"])},
        "meanflow": {"cfg_kappa": float(row["meanflow_kappa"])} if row["meanflow_kappa"] else None,
        "perceptual": {} if row["method"] == "PixelGen" else None,
        "prediction": row["prediction"],
    }
    assert names.recipe_of(facts) == recipe_of(row)


# -- one line between the tasks --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_the_tasks_differ_in_one_line(name):
    package, _, file = registry().recipes[name].partition(":")
    lines = (files(package) / file).read_text().splitlines()
    assert [line for line in lines if line.startswith("task:")] == ["task: imagenet"]
    assert len(lines) <= 12
    first, second = (dict(flat(resolve(combine(name, {"task": task})).as_dict())) for task in TASKS)
    differing = {key for key in first.keys() | second.keys() if first.get(key) != second.get(key)}
    further = {key for key in differing if not key.startswith(OF_THE_TASK)}
    assert further == {*EPOCHS, *EXCEPTIONS.get(name, ())}


# -- built -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "task"), EVERY)
def test_it_can_be_built_and_has_the_published_size(name, task):
    """By the parameters of its matrices; the rows above have the exact number for every second recipe."""
    parts = parts_of(name, task)
    found = sum(parameter.numel() for parameter in parts["backbone"].parameters())
    hidden = parts.resolved.slots["backbone"].config.trunk.hidden
    steered_head = 2 * 2048**2
    assert found == pytest.approx(matrices(28, hidden, 0) + matrices(2, 2048, 6) + steered_head, rel=0.025)
    assert hidden != 1152 or found == pytest.approx(615e6, rel=0.015)


def matrices(depth, hidden, steering):
    """The parameters of `depth` blocks: q, k, v, projection, SwiGLU (2/3 of 4 times as wide), adaLN."""
    return depth * (4 * hidden**2 + 3 * hidden * int(2 / 3 * 4 * hidden) + steering * hidden**2)


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
