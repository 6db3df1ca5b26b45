"""build_pipeline, generate, save and load, on the smallest real parts."""

import json

import pytest
import torch
from PIL import Image

from nanogen_core import Pipeline, build_pipeline
from nanogen_core.config import resolve
from nanogen_core.errors import ConfigError, DataError, NanoGenError


@pytest.fixture
def pipeline(small):
    built = build_pipeline(small)
    generator = torch.Generator().manual_seed(0)
    for parameter in built.backbone.parameters():  # a fresh network predicts zero: move it away
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    return built


def test_pictures_come_one_for_each_request(pipeline):
    pictures = pipeline.generate(["apple", "dog", 3], seed=1)
    assert [type(picture) for picture in pictures] == [Image.Image] * 3
    assert {picture.size for picture in pictures} == {(16, 16)}
    assert len(pipeline.generate("apple")) == 1


def test_tensors_on_request(pipeline):
    images = pipeline.generate(["apple"] * 2, tensors=True)
    assert images.shape == (2, 3, 16, 16)
    assert images.dtype == torch.float32
    assert -1 <= float(images.min()) <= float(images.max()) <= 1


def test_a_sample_is_the_same_in_any_batch(pipeline):
    requests = ["apple", "dog", "cat", "car", "fish"]
    whole = pipeline.generate(requests, seed=4, tensors=True)
    small_batches = pipeline.generate(requests, seed=4, batch_size=2, tensors=True)
    torch.testing.assert_close(whole, small_batches, rtol=0, atol=1e-5)
    alone = pipeline.generate(requests[:3], seed=4, tensors=True)
    torch.testing.assert_close(whole[:3], alone, rtol=0, atol=1e-5)


def test_the_seed_the_steps_and_the_guidance_matter(pipeline):
    base = pipeline.generate(["apple"], tensors=True)
    assert torch.equal(base, pipeline.generate(["apple"], tensors=True))
    for other in ({"seed": 1}, {"steps": 5}, {"guidance": 7.0}, {"guidance": {"cfg": 7.0}}):
        assert not torch.equal(base, pipeline.generate(["apple"], tensors=True, **other))
    assert not torch.equal(base, pipeline.generate(["dog"], tensors=True))


def test_generating_leaves_the_global_generator_alone(pipeline):
    before = torch.get_rng_state()
    pipeline.generate(["apple"])
    assert torch.equal(before, torch.get_rng_state())


def test_the_initial_weights_are_the_seed_s(small):
    first, second, other = (build_pipeline({**small, "seed": seed}) for seed in (0, 0, 1))
    weights = [torch.cat([p.flatten() for p in built.backbone.parameters()]) for built in (first, second, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_saved_and_loaded_it_draws_the_same(pipeline, tmp_path):
    pipeline.save(tmp_path / "model")
    again = Pipeline.load(tmp_path / "model")
    assert torch.equal(pipeline.generate(["apple", 5], tensors=True), again.generate(["apple", 5], tensors=True))
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [
        "backbone.safetensors",
        "config.yaml",
        "pipeline.json",
    ]


def test_loading_needs_no_training_data(small, tmp_path):
    data = tmp_path / "data"
    for word in ("n01", "n02"):
        folder = data / "train" / word
        folder.mkdir(parents=True)
        Image.new("RGB", (20, 20)).save(folder / "0.png")
    config = {**small, "dataset": {"name": "imagenet-folder", "root": str(data)}, "metric": {}}
    build_pipeline(config).save(tmp_path / "model")
    data.rename(tmp_path / "moved")
    loaded = Pipeline.load(tmp_path / "model")
    assert len(loaded.generate(["n02"])) == 1
    with pytest.raises(DataError, match="data"):
        next(iter(loaded.task.batches("train", 2)))


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda folder: (folder / "backbone.safetensors").write_bytes(b"\x08\0\0"), "is not a valid safetensors file"),
        (lambda folder: (folder / "backbone.safetensors").unlink(), "the file does not exist"),
        (lambda folder: (folder / "pipeline.json").write_text("{"), "is not valid JSON"),
        (lambda folder: (folder / "pipeline.json").write_text('{"format": 99}'), "does not have format version"),
        (lambda folder: (folder / "config.yaml").unlink(), "There is no saved pipeline in"),
    ],
)
def test_a_damaged_pipeline_is_refused_in_one_sentence(pipeline, tmp_path, damage, sentence):
    pipeline.save(tmp_path)
    damage(tmp_path)
    with pytest.raises(DataError, match=sentence) as caught:
        Pipeline.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_another_image_size_is_refused_before_a_network_is_built(pipeline, tmp_path, monkeypatch):
    pipeline.save(tmp_path)
    text = (tmp_path / "config.yaml").read_text()
    assert "image_size: 16" in text
    (tmp_path / "config.yaml").write_text(text.replace("image_size: 16", "image_size: 8192"))
    monkeypatch.setattr(type(pipeline.backbone), "__init__", lambda *a, **k: pytest.fail("a network was built"))
    sentence = r"config\.yaml gives latents of shape \[8, 1024, 1024\], but pipeline\.json has \[8, 2, 2\]"
    with pytest.raises(DataError, match=sentence):
        Pipeline.load(tmp_path)


@pytest.mark.parametrize("latent", [None, [10**12, 1, 1], "x", [3, 16]])
def test_another_latent_in_the_facts_is_refused(pipeline, tmp_path, latent):
    pipeline.save(tmp_path)
    facts = json.loads((tmp_path / "pipeline.json").read_text())
    (tmp_path / "pipeline.json").write_text(json.dumps({**facts, "latent": latent}))
    with pytest.raises(DataError, match=r"gives latents of shape .* but pipeline\.json has .*the tokenizer\.$"):
        Pipeline.load(tmp_path)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"seed": "x"}, "seed must be an integer"),
        ({"seed": -1}, "seed must be an integer"),
        ({"seed": 2**63}, "seed must be an integer"),
        ({"seed": True}, "seed must be an integer"),
        ({"batch_size": "x"}, "batch_size must be an integer"),
        ({"batch_size": 0}, "batch_size must be an integer"),
        ({"batch_size": 1.5}, "batch_size must be an integer"),
    ],
)
def test_a_wrong_seed_or_batch_size_is_said(pipeline, options, sentence):
    with pytest.raises(ConfigError, match=sentence):
        pipeline.generate([0], **options)


@pytest.mark.parametrize("asked", [None, 1.5, object()])
def test_what_is_no_request_is_said(pipeline, asked):
    with pytest.raises(NanoGenError, match="Expected a label, a caption or a list of them, got "):
        pipeline.generate(asked)


def test_weights_of_another_configuration_are_refused(pipeline, small, tmp_path):
    small["backbone"]["hidden"] = 32
    build_pipeline(small).save(tmp_path / "wide")
    pipeline.save(tmp_path)
    (tmp_path / "backbone.safetensors").write_bytes((tmp_path / "wide" / "backbone.safetensors").read_bytes())
    with pytest.raises(DataError, match="has shape .*, but the configuration"):
        Pipeline.load(tmp_path)


def test_a_part_given_as_an_object_is_used_and_asked_for_when_its_pipeline_is_loaded(small, pipeline, tmp_path):
    built = build_pipeline({**small, "objective": pipeline.objective})
    assert built.objective is pipeline.objective
    built.save(tmp_path)
    with pytest.raises(
        ConfigError, match="objective: the saved pipeline used an object of class nanogen_flow.*Give one"
    ):
        Pipeline.load(tmp_path)
    loaded = Pipeline.load(tmp_path, objective=pipeline.objective)
    assert torch.equal(built.generate([0], tensors=True), loaded.generate([0], tensors=True))


def test_options_over_a_resolved_configuration_keep_its_objects(small, pipeline):
    guidance = {"mine": pipeline.guidance["cfg"], "cfg": None}
    resolved = resolve({**small, "objective": pipeline.objective, "guidance": guidance})
    built = build_pipeline(resolved, seed=1)
    assert built.config.seed == 1
    assert built.objective is pipeline.objective
    assert dict(built.guidance) == {"mine": guidance["mine"]}
    assert build_pipeline(resolved, objective="meanflow").config.slots["objective"].name == "meanflow"


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda p: p.generate([]), "The list of requests is empty"),
        (lambda p: p.generate(["aple"]), "Did you mean 'apple'"),
        (lambda p: p.generate([64]), "64"),
        (lambda p: p.generate(["apple"], guidance={"ig": 2.0}), "no guidance ig. It has: cfg"),
        (lambda p: p.generate(["apple"], guidance=-1.0), "guidance 'cfg': scale: must be at least 0"),
        (lambda p: p.generate(["apple"], guidance=float("nan")), "guidance 'cfg': scale: must be at least 0"),
        (lambda p: p.generate(["apple"], batch_size=0), "batch_size must be an integer, at least 1"),
        (lambda p: p.generate(["apple"], steps=0), "steps"),
        (lambda p: p.generate(["apple"], steps=-3), "steps"),
    ],
)
def test_a_wrong_request_is_refused_in_one_sentence(pipeline, call, sentence):
    with pytest.raises(NanoGenError, match=sentence) as caught:
        call(pipeline)
    assert "\n" not in str(caught.value)


def test_without_guidance_there_is_nothing_to_scale(small):
    built = build_pipeline({**small, "guidance": {"cfg": None}})
    with pytest.raises(NanoGenError, match="has no guidance: add `guidance: cfg`"):
        built.generate(["apple"], guidance=2.0)


def test_a_wrong_image_size_is_said(small):
    with pytest.raises(NanoGenError, match="multiple of 8 .*, got 20.*to 16 or 24"):
        build_pipeline({**small, "image_size": 20})


def test_a_missing_data_folder_is_said(small, monkeypatch, tmp_path):
    monkeypatch.delenv("NANOGEN_DATA", raising=False)
    config = {**small, "dataset": {"name": "imagenet-folder"}, "metric": {}}
    with pytest.raises(DataError, match="NANOGEN_DATA"):
        build_pipeline(config)
    config["dataset"]["root"] = str(tmp_path / "nowhere")
    with pytest.raises(DataError, match="nowhere"):
        build_pipeline(config)


def test_what_a_saved_pipeline_says_of_itself(pipeline, tmp_path):
    facts = json.loads((pipeline.save(tmp_path) / "pipeline.json").read_text())
    assert facts["latent"] == [8, 2, 2]
    assert facts["classes"][0] == "apple"
    assert facts["versions"]["nanogen-core"]


def test_a_circle_of_parts_is_named(small):
    from nanogen_core.assembly import Assembly

    assembly = Assembly(resolve(small))
    assembly._facts["latent"] = lambda: assembly["backbone"]
    with pytest.raises(NanoGenError, match="need each other: backbone -> latent -> backbone"):
        assembly["backbone"]


def test_options_of_build_pipeline_go_over_its_configuration(small):
    built = build_pipeline(small, sampler={"name": "heun", "steps": 3}, seed=5)
    assert (built.config.seed, built.config.slots["sampler"].name) == (5, "heun")
    with pytest.raises(ConfigError, match="unknown key"):
        build_pipeline(small, stepz=4)
