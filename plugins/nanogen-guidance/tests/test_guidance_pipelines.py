"""The manifest, and each guidance in pipelines of both tasks; which weaker pipelines are refused."""

from __future__ import annotations

import json
from copy import deepcopy

import pytest
import torch
from attrs import evolve

from nanogen_core import Pipeline, build_pipeline, resolve
from nanogen_core.errors import ConfigWarning, DataError, Incompatible
from nanogen_core.named_components import options_of, record_options
from nanogen_core.tensors import State
from nanogen_core.testing import PluginContract
from nanogen_data import contents
from nanogen_data.testing import FilesContract
from nanogen_guidance import AutoGuidance, AutoGuidanceConfig

torch.set_num_threads(1)
REQUESTS = {"imagenet": [0, 1, 2], "t2i": ["a red apple", "a dog", "two cats"]}


@pytest.fixture
def manifest():
    return "nanogen_guidance.plugin"


class TestPlugin(PluginContract):
    required = frozenset({"pipeline"})


def config(task="imagenet", **options):
    return {
        "task": task,
        "image_size": 16,
        "dataset": {"name": "openmoji", "train": 8, "val": 8},
        "tokenizer": "openmoji-vae",
        "backbone": {"name": "lightning-dit", "hidden": 16, "depth": 1, "heads": 1},
        "objective": "flow",
        "sampler": {"name": "euler", "steps": 3},
        **options,
    }


def tiny(task="imagenet", *, noise=0, **options):
    """Build a pipeline whose network has random weights in place of zero ones."""
    pipeline = build_pipeline(config(task, guidance={"cfg": None}, **options))
    generator = torch.Generator().manual_seed(noise)
    with torch.no_grad():
        for parameter in pipeline.backbone.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return pipeline


@pytest.fixture
def weak(tmp_path):
    """The folder of a saved smaller pipeline with data prediction."""
    backbone = {"name": "lightning-dit", "hidden": 8, "depth": 1, "heads": 1}
    return tiny(noise=1, backbone=backbone, objective={"name": "flow", "prediction": "x"}).save(tmp_path / "weak")


def guided_by(pipeline, folder, **options):
    return pipeline.reconfigured({"guidance": {"autoguidance": {"pipeline": str(folder), **options}}})


def images(pipeline, task="imagenet", **options):
    return pipeline.generate(REQUESTS[task], tensors=True, **options)


# -- both tasks ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cfg-zero-star", "apg", "autoguidance"])
@pytest.mark.parametrize("task", REQUESTS)
@pytest.mark.parametrize("sampler", ["euler", "heun"])
def test_a_pipeline_of_each_task_samples_with_it(task, name, sampler, tmp_path):
    pipeline = tiny(task, sampler={"name": sampler, "steps": 4})
    options = {"pipeline": str(tiny(task, noise=1).save(tmp_path))} if name == "autoguidance" else {}
    guided = pipeline.reconfigured({"guidance": {name: {"scale": 3.0, **options}}})
    plain, found = images(pipeline, task), images(guided, task)
    assert found.isfinite().all()
    assert (found - plain).abs().max() > 1e-2
    assert torch.equal(images(guided, task), found)  # nothing is left over from the first run
    assert torch.allclose(images(guided, task, batch_size=1), found, atol=1e-3)
    assert torch.allclose(images(guided, task, guidance=1.0), plain, atol=1e-5)


def test_selecting_one_replaces_the_cfg_of_a_method_but_not_that_of_the_user():
    base = {**config(), "method": "vae"}
    assert list(resolve(base).groups["guidance"]) == ["cfg"]
    assert list(resolve(base, {"guidance": "apg"}).groups["guidance"]) == ["apg"]
    both = {"autoguidance": {"pipeline": "runs/weak"}, "cfg": {"scale": 2.0}}
    assert {*resolve(base, {"guidance": both}).groups["guidance"]} == {"autoguidance", "cfg"}


@pytest.mark.parametrize("guidance", ["cfg-zero-star", "apg", {"autoguidance": {"pipeline": "runs/weak"}}], ids=str)
def test_average_velocities_are_refused(guidance):
    with pytest.raises(Incompatible, match="needs an objective that provides 'instantaneous-velocity'"):
        resolve(config(objective="meanflow", guidance=guidance))


@pytest.mark.parametrize("names", [("cfg", "apg"), ("apg", "cfg-zero-star"), ("cfg", "cfg-zero-star")])
def test_two_guidances_by_the_null_condition_are_refused(names):
    with pytest.raises(Incompatible, match=r"exclude each other.*Set guidance\.[a-z-]+=null or guidance"):
        resolve(config(), {"guidance": {name: {"scale": 2.0} for name in names}})


def test_all_three_together_need_two_nulls():
    names = ("cfg", "cfg-zero-star", "apg")
    nulls = "guidance.cfg=null, guidance.cfg-zero-star=null, guidance.apg=null"
    with pytest.raises(Incompatible, match=rf"exclude each other\. Use only one of them\. Set 2 of {nulls}\.$"):
        resolve(config(), {"guidance": {name: {"scale": 2.0} for name in names}})


# -- the weaker pipeline ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prediction", ["velocity", "x"])
def test_a_pipeline_that_guides_itself_changes_nothing(prediction, tmp_path):
    pipeline = tiny(objective={"name": "flow", "prediction": prediction})
    guided = guided_by(pipeline, pipeline.save(tmp_path), scale=5.0)
    assert torch.allclose(images(guided), images(pipeline), atol=1e-3)


def test_the_weaker_network_uses_its_own_objective(weak):
    """One step of Euler from noise x is x - v. The weaker pipeline predicts data, so its sample is its prediction."""
    pipeline = tiny()
    one = {"sampler": {"name": "euler", "steps": 1}}
    latents = [
        sampled(each)
        for each in (
            guided_by(pipeline.reconfigured(one), weak, scale=3.0),
            pipeline.reconfigured(one),
            Pipeline.load(weak).reconfigured(one),
        )
    ]
    assert torch.allclose(latents[0], latents[2] + 3.0 * (latents[1] - latents[2]), atol=1e-3)


def sampled(pipeline):
    """Return the sampled latents, before the tokenizer decodes them."""
    found = []
    plain = pipeline.with_parts(tokenizer=Recorder(found, pipeline.tokenizer))
    images(plain)
    return found[0]


class Recorder:
    def __init__(self, found, tokenizer):
        self.found, self.tokenizer = found, tokenizer

    def decode(self, latents, rng=None):
        self.found.append(latents)
        return self.tokenizer.decode(latents, rng)


def test_it_is_loaded_on_first_use(tmp_path):
    guided = guided_by(tiny(), tmp_path / "missing")
    with pytest.raises(DataError, match=r"guidance.autoguidance.pipeline: there is no saved pipeline in .*missing"):
        images(guided)
    with pytest.raises(DataError, match="no saved pipeline"):
        contents.of(guided.guidance["autoguidance"])


def test_other_latents_are_refused(tmp_path):
    folder = tiny(image_size=32).save(tmp_path)
    with pytest.raises(Incompatible, match=r"its latents are \[8, 4, 4\], those of this pipeline \[8, 2, 2\]"):
        images(guided_by(tiny(), folder))


def test_other_conditions_are_refused(tmp_path):
    folder = tiny("t2i").save(tmp_path)
    with pytest.raises(Incompatible, match=r"its conditions are .* with a mask, those of this pipeline \[1, "):
        images(guided_by(tiny(), folder))


def test_another_order_of_the_classes_is_refused(weak):
    facts = json.loads((weak / "pipeline.json").read_text(encoding="utf-8"))
    facts["classes"] = facts["classes"][::-1]
    (weak / "pipeline.json").write_text(json.dumps(facts), encoding="utf-8")
    with pytest.raises(Incompatible, match="its class names are others, or have another order"):
        images(guided_by(tiny(), weak))


class Exploding:
    """x_t = data + 80 t noise."""

    def interpolate(self, clean, noise, t):
        return clean.map(lambda x, n: x + 80 * t.reshape(-1, 1, 1, 1) * n, noise)

    def path_velocity(self, clean, noise, t):
        return State(80 * noise.latent)


class Trained(torch.nn.Linear):
    def __init__(self):
        super().__init__(1, 1)


def test_other_parts_are_refused(weak):
    model = guided_by(tiny(), weak).guidance["autoguidance"]._weak
    assert model.velocity_fn(torch.device("cpu"))
    main = model.main
    for name, part, message in (
        ("objective", Exploding(), "its objective has another path from data to noise"),
        ("tokenizer", Recorder([], None), "its tokenizer is another one, or has other options"),
        ("conditioner", Trained(), "its conditioner is another one"),
        ("encoder", Trained(), "its encoder is another one, or has other options"),
    ):
        other = type(model)(str(weak), evolve(main, **{name: part}))
        with pytest.raises(Incompatible, match=message):
            other.velocity_fn(torch.device("cpu"))


def test_a_tokenizer_that_was_trained_to_other_weights_is_refused(weak):
    model = guided_by(tiny(), weak).guidance["autoguidance"]._weak
    loaded = Pipeline.load(weak)
    trained = loaded.with_parts(learned=(*loaded.learned, "tokenizer"))
    assert list(model._problems(trained)) == []
    other = deepcopy(model.main.tokenizer)
    with torch.no_grad():
        next(other.parameters()).add_(1e-3)
    record_options(other, options_of(model.main.tokenizer))
    model.main = evolve(model.main, tokenizer=other)
    assert list(model._problems(trained)) == ["its trained tokenizer has other weights"]


class TestFingerprint(FilesContract):
    @pytest.fixture
    def folder(self, weak):
        return weak

    @pytest.fixture
    def build(self):
        parts = dict.fromkeys(("objective", "latent", "condition", "classes", "tokenizer", "conditioner"))

        def build(folder):
            options = AutoGuidanceConfig(pipeline=str(folder))
            return record_options(AutoGuidance(options, **parts), options)

        return build


def test_a_guidance_chosen_at_sampling_replaces_the_saved_one(tmp_path):
    build_pipeline(config(guidance={"cfg": {"scale": 3.0}})).save(tmp_path)
    pipeline = Pipeline.load(tmp_path)
    with pytest.warns(ConfigWarning, match="guidance: 'apg' replaces cfg, whose options are dropped"):
        changed = pipeline.reconfigured({"guidance": "apg"})
    assert [*changed.guidance] == ["apg"]
    again = pipeline.reconfigured({"guidance": {"apg": {"scale": 2.0}, "cfg": None}})
    assert [*again.reconfigured({"guidance": {"apg": {"scale": 4.0}}}).guidance] == ["apg"]
    with pytest.raises(Incompatible, match="exclude each other"):
        pipeline.reconfigured({"guidance": ["apg", "cfg"]})
