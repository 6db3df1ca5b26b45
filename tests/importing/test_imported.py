"""An imported checkpoint is a pipeline that is saved, loaded and sampled, and gives the recorded numbers."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from nanogen_core import Pipeline
from nanogen_core.randomness import KeyedRNG
from nanogen_core.sampling import velocity_field
from nanogen_core.tensors import Batch, State, Times
from nanogen_files.storage import read_json
from nanogen_import import import_checkpoint

FIXTURES = Path(__file__).parents[2] / "plugins" / "nanogen-dit" / "tests" / "fixtures"


def imported(name, **options):
    described = read_json(FIXTURES / f"{name}.json")
    return import_checkpoint(FIXTURES / f"{name}.safetensors", architecture=described, **options)


def far(ours, recorded):
    return float((ours - recorded).abs().max() / recorded.abs().max())


def conditions(pipeline, labels):
    labels = labels.long()
    return pipeline.conditioner.encode(Batch(torch.arange(len(labels)), labels=labels))


@pytest.mark.parametrize("name", ["ddt_label", "lightningdit_label"])
def test_a_saved_import_answers_as_recorded(name, tmp_path):
    imported(name, recipe="sd-vae-mse").save(tmp_path)
    pipeline = Pipeline.load(tmp_path)
    recorded = load_file(FIXTURES / f"{name}.safetensors")
    t = recorded["in.t"]
    with torch.no_grad():
        ours = pipeline.backbone(
            State(recorded["in.x_t"]), Times(t, t), conditions(pipeline, recorded["in.context"])
        ).value.latent
    assert far(ours, recorded["out.model"]) < 1e-4


@pytest.mark.parametrize("prediction", ["velocity", "x"])
@pytest.mark.parametrize("name", ["ddt_label", "lightningdit_label"])
def test_a_saved_import_samples_as_recorded(name, prediction, tmp_path):
    said = read_json(FIXTURES / f"{name}.json")["sampling"]
    settings = {
        "tokenizer": {"preset": "sdvae-mse"},
        "objective": {"prediction": prediction, "shift": said["time_shift"]},
        "guidance": {"cfg": said["cfg"]},
        "sampler": {"steps": said["steps"]},
    }
    imported(name, settings=settings).save(tmp_path)
    pipeline, recorded = Pipeline.load(tmp_path), load_file(FIXTURES / f"{name}.safetensors")
    condition = conditions(pipeline, recorded["in.context"])
    velocity_fn = velocity_field(pipeline.objective, pipeline.backbone)
    guided = pipeline.guidance["cfg"].wrap(velocity_fn, pipeline.conditioner.null(len(condition.tokens)))
    noise = State(recorded["in.noise"])
    ours = pipeline.sampler.sample(pipeline.objective, guided, noise, condition, said["steps"], KeyedRNG(0, [])).latent
    assert far(ours, recorded[f"out.sample_cfg_{prediction}"]) < 1e-4
    other = "x" if prediction == "velocity" else "velocity"
    assert far(ours, recorded[f"out.sample_cfg_{other}"]) > 1e-2  # the choice is not idle


def test_its_classes_are_numbers_where_the_data_is_not_here():
    assert imported("ddt_label", recipe="sd-vae-mse").parts["classes"] == tuple(map(str, range(10)))
