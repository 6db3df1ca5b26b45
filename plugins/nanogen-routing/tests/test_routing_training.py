"""Routed backbones in training runs on both tasks: training, resuming, other methods, cost."""

from __future__ import annotations

import shutil

import pytest
import torch

from nanogen_core import Pipeline, build_pipeline, resolve
from nanogen_core.errors import Incompatible
from nanogen_train import start_from
from nanogen_train.checkpoint import checkpoint
from nanogen_train.logging import metrics_log
from nanogen_train.planning.cost import cost_of
from nanogen_train.trainer.loop import Run

DECODER = {"decoder_hidden": 24, "decoder_depth": 1, "decoder_heads": 1}
BACKBONES = {"tread-lightning-dit": {}, "tread-ddt": DECODER, "sprint-lightning-dit": {}, "sprint-ddt": DECODER}


def with_backbone(config, name, **options):
    return {**config, "backbone": {**config["backbone"], "name": name, **BACKBONES[name], **options}}


def train(config, folder, **options):
    return Run(build_pipeline(config), folder, **options).train()


@pytest.mark.parametrize("task", ["imagenet", "t2i"])
@pytest.mark.parametrize("name", BACKBONES)
def test_it_trains_and_samples_on_both_tasks(small, tmp_path, name, task):
    config = {**with_backbone(small, name), "task": task}
    trained = train(config, tmp_path)
    assert all(entry["flow"] > 0 for entry in metrics_log.read(tmp_path))
    questions = trained.task.eval_batch(2)
    first, again = (Pipeline.load(tmp_path).sample(questions, seed=0) for _ in range(2))
    assert torch.equal(first, again)
    assert first.isfinite().all()


@pytest.mark.parametrize("name", BACKBONES)
def test_a_resumed_run_ends_as_one_that_never_stopped(small, tmp_path, name):
    config = with_backbone(small, name)
    config["train"] |= {"grad_accum_steps": 2, "activation_checkpointing": "all"}
    for folder in ("whole", "parts"):
        train(config, tmp_path / folder)
    shutil.rmtree(checkpoint.path_of(tmp_path / "parts", 4))
    train(config, tmp_path / "parts", resume=True)
    whole, parts = (checkpoint.load(tmp_path / folder, 4)[0] for folder in ("whole", "parts"))
    for part in whole:
        assert all(torch.equal(whole[part][key], parts[part][key]) for key in whole[part])


def test_checkpointed_activations_are_recomputed_with_the_same_tokens(small, tmp_path):
    for folder, checkpointing in (("plain", "none"), ("checkpointed", "all")):
        small["train"] |= {"activation_checkpointing": checkpointing, "steps": 3}
        train(small, tmp_path / folder)
    losses = [[entry["loss"] for entry in metrics_log.read(tmp_path / name)] for name in ("plain", "checkpointed")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


@pytest.mark.parametrize("name", BACKBONES)
def test_it_trains_with_meanflow_repa_like_losses_and_internal_guidance(small, tmp_path, name):
    config = {**with_backbone(small, name), "method": "meanflow", "objective": "meanflow"}
    config |= {"auxiliary": {"sra": {"block": 3, "teacher_block": 4}, "dispersive": {"block": 2}}}
    config["guidance"] = {"internal": {"scale": 1.5}}
    config["train"] |= {"steps": 2}
    assert train(config, tmp_path).generate([0], tensors=True).isfinite().all()
    assert {"sra.distance", "dispersive.dispersion"} <= metrics_log.read(tmp_path)[0].keys()


@pytest.mark.parametrize("derivative", ["forward", "central", "backward"])
def test_derivatives_that_compare_forward_passes_are_refused(small, derivative):
    config = {**small, "method": "meanflow", "objective": {"name": "meanflow", "derivative": derivative}}
    with pytest.raises(Incompatible, match=f"objective.derivative: '{derivative}'.*'tread-lightning-dit'"):
        resolve(config)
    resolve({**config, "backbone": {**config["backbone"], "share": 0.0}})
    resolve({**config, "objective": {"name": "meanflow"}})
    sprint = {**config["backbone"], "name": "sprint-lightning-dit", "share": 0.0}
    with pytest.raises(Incompatible, match="'sprint-lightning-dit'"):  # paths are dropped at random
        resolve({**config, "backbone": sprint})
    resolve({**config, "backbone": {**sprint, "path_drop": 0.0}})


@pytest.mark.parametrize("name", ["tread-lightning-dit", "sprint-ddt"])
def test_a_target_of_a_second_forward_pass_is_refused(small, name):
    """AlphaFlow's target would have the tokens of another route."""
    config = {**with_backbone(small, name), "method": "alphaflow", "objective": {"name": "alphaflow", "alpha_end": 1}}
    with pytest.raises(Incompatible, match=f"objective 'alphaflow' is a second.*'{name}'.*Set `backbone.share: 0`"):
        resolve(config)
    without = {**config["backbone"], "share": 0.0} | ({"path_drop": 0.0} if name.startswith("sprint") else {})
    resolve({**config, "backbone": without})


def test_path_drop_guidance_replaces_the_classifier_free_one(small, tmp_path):
    config = {**with_backbone(small, "sprint-lightning-dit"), "guidance": {"path-drop": {"scale": 2.0}}}
    config["train"] |= {"steps": 1}
    assert resolve(config).groups["guidance"].keys() == {"path-drop"}
    trained = train(config, tmp_path)
    images = [trained.generate([0], tensors=True, seed=0, guidance=scale) for scale in (1.0, 2.0)]
    assert not torch.equal(*images)
    with pytest.raises(Incompatible, match="'path-drop' needs a backbone that provides 'path-drop'"):
        resolve({**small, "guidance": {"path-drop": {}}})


def test_more_blocks_with_a_default_route_say_that_the_output_differs(small, tmp_path):
    """The last two of five blocks follow the route of SPRINT, and the last two of seven."""

    def pipeline(**options):
        route = {"depth": 5, "route_from": None, "route_to": None, "internal_head_depth": 5}
        return build_pipeline(with_backbone(small, "sprint-lightning-dit", **{**route, **options}))

    source = pipeline()
    for parameter in source.backbone.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    folder = str(source.save(tmp_path))
    larger, kept = pipeline(depth=7, internal_head_depth=7), pipeline(depth=7, route_from=3, route_to=3)
    notes, notes_kept = (start_from(each, folder).notes for each in (larger, kept))
    images = [each.generate([0], tensors=True, seed=0) for each in (source, larger, kept)]
    assert (images[1] - images[0]).abs().max() > 1e-3
    assert torch.allclose(images[2], images[0], atol=1e-4)
    (note,) = (note for note in notes if "route was blocks 3 to 3 and is blocks 3 to 5" in note)
    assert "`backbone.route_from: 3` and `backbone.route_to: 3` keep it" in note
    assert not any("the route was" in note for note in notes_kept)


def block_flops(tokens, width, ratio=4.0):
    """Return the FLOPs of a block's forward pass: 2 m n k of each product."""
    inner = int(2 / 3 * ratio * width)
    linear = 2 * tokens * width * (4 * width + 3 * inner)
    return linear + 4 * tokens**2 * width


def plan_flops(config, **options):
    return cost_of(resolve({**config, "backbone": {**config["backbone"], **options}}), classes=10).flops


@pytest.mark.parametrize("name", BACKBONES)
def test_the_plan_counts_the_blocks_of_the_route_with_the_tokens_that_are_left(small, name):
    """A block costs three times its forward pass, and the shares differ in nothing but the blocks of the route."""
    config = with_backbone(small, name, hidden=32)
    others = 4 + 8  # time and label tokens
    full, routed = (plan_flops(config, share=share) for share in (0.0, 0.75))
    saved = 3 * 2 * (block_flops(16 + others, 32) - block_flops(4 + others, 32))
    assert full - routed == pytest.approx(saved, rel=1e-9)
    fusion = 3 * 2 * (16 + others) * 64 * 32 if name.startswith("sprint") else 0
    plain = {key: value for key, value in config["backbone"].items() if not key.startswith("route")}
    plain["name"] = name.partition("-")[2]
    assert full - plan_flops({**config, "backbone": plain}) == pytest.approx(fusion, rel=1e-9)


def test_the_published_half_of_the_tokens_saves_what_the_formula_says(small):
    """At 256 px with patches of 16 px and many blocks, the saving tends to the blocks of the route."""
    config = with_backbone(small, "tread-lightning-dit", hidden=64, depth=12, route_from=3, route_to=9)
    config |= {"image_size": 128}
    full, routed = (plan_flops(config, share=share) for share in (0.0, 0.5))
    saved = 3 * 7 * (block_flops(256 + 12, 64) - block_flops(128 + 12, 64))
    assert full - routed == pytest.approx(saved, rel=1e-9)
    assert routed < 0.75 * full
