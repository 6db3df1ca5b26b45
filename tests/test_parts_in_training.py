"""What training offers to its parts: auxiliaries that stop, networks, images; trainable tokenizers; given objects."""

import pytest
import torch
from torch import nn

from nanogen_core import (
    ClassifierFree,
    ClassifierFreeConfig,
    ConfigError,
    Euler,
    Heun,
    LatentSpec,
    Pipeline,
    build_pipeline,
)
from nanogen_core.errors import ConfigWarning, Incompatible, TrainingError
from nanogen_core.randomness import KeyedRNG
from nanogen_core.tensors import Losses, State, per_sample
from nanogen_data.testing.fakes import TinyFlow, TinyFlowConfig
from nanogen_files import storage
from nanogen_train import Auxiliary, start_from
from nanogen_train.checkpoint import checkpoint
from nanogen_train.logging import metrics_log
from nanogen_train.trainer.loop import Run


class Noting(Auxiliary):
    """Notes what it receives. Its network learns until it stops after two steps."""

    intermediates = ("block.1",)

    def __init__(self, *, needs_images=False, last=2):
        self.nets = nn.Linear(16, 1)
        self.needs_images = needs_images
        self.last = last
        self.steps, self.prepared, self.images, self.names, self.noise = [], 0, [], set(), []

    def active(self, step):
        return step < self.last

    def prepare(self, batch):
        self.prepared += 1
        return {"mean": batch.images.mean(dim=(1, 2, 3))}

    def loss(self, forward_pass, clean, batch, nets, rng):
        self.steps.append(rng.step)
        self.images.append(batch.images)
        self.names |= set(nets)
        with torch.no_grad():
            teacher = nets["ema"](
                forward_pass.state, forward_pass.times, forward_pass.condition, intermediates=("block.1",)
            )
        assert teacher.features["block.1"].shape == forward_pass.prediction.features["block.1"].shape
        t = per_sample(forward_pass.times.t, clean.latent)
        self.noise.append(
            (forward_pass.state.latent - (1 - t) * clean.latent - t * forward_pass.noise.latent).abs().max()
        )
        loss = self.nets(forward_pass.prediction.features["block.1"]).square().mean()
        return Losses(loss, {"size": loss.detach()})


def run_of(small, folder, auxiliary, **train):
    small["train"].update(train)
    return Run(build_pipeline(small, auxiliary=auxiliary), folder)


def test_an_auxiliary_receives_step_networks_noise_and_condition(small, tmp_path):
    noting = Noting(last=100)
    run_of(small, tmp_path, noting).train()
    assert noting.steps == [0, 1, 2, 3, 4, 5]
    assert {"student", "ema"} <= noting.names
    assert max(noting.noise) < 1e-5
    assert noting.images == [None] * 6


def test_an_auxiliary_that_stops_is_neither_prepared_nor_trained(small, tmp_path):
    noting = Noting(last=2)
    run_of(small, tmp_path, noting, checkpoint_every=1, keep_last=9).train()
    assert (noting.steps, noting.prepared) == ([0, 1], 2)
    weights = [checkpoint.load(tmp_path, step)[0]["nets"]["Noting.bias"] for step in (1, 2, 6)]
    assert not torch.equal(weights[0], weights[1])


def test_with_cached_latents_it_is_prepared_for_all_steps(small, tmp_path):
    noting = Noting(last=2)
    run_of(small, tmp_path, noting, cache_latents=True).train()
    assert noting.steps == [0, 1]
    assert noting.prepared == 1


def test_images_are_kept_for_a_part_that_needs_them(small, tmp_path):
    noting = Noting(needs_images=True)
    run_of(small, tmp_path, noting).train()
    assert {tuple(images.shape) for images in noting.images} == {(8, 3, 16, 16)}


class Scaled(nn.Module):
    """A tokenizer that multiplies images by a learned number and says that it is trained."""

    trainable = True

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.full((1,), 0.9))

    def latent(self, image_size):
        return LatentSpec(channels=3, height=image_size, width=image_size, factor=1)

    def encode(self, images):
        return images * self.scale

    def decode(self, latents, rng=None):
        return latents / self.scale


def test_a_trainable_tokenizer_is_trained_averaged_saved_and_loaded(small, tmp_path):
    Run(build_pipeline(small, tokenizer=Scaled()), tmp_path).train()
    nets = checkpoint.load(tmp_path, 6)[0]["nets"]
    assert float(nets["tokenizer.scale"]) != pytest.approx(0.9)
    assert float(nets["ema_tokenizer.scale"]) not in (0.9, float(nets["tokenizer.scale"]))
    assert torch.equal(storage.read_tensors(tmp_path / "tokenizer.safetensors")["scale"], nets["ema_tokenizer.scale"])
    loaded = Pipeline.load(tmp_path, tokenizer=Scaled())
    assert torch.equal(loaded.tokenizer.scale, nets["ema_tokenizer.scale"])
    third = build_pipeline(small, tokenizer=Scaled())
    assert start_from(third, str(tmp_path)).parts["tokenizer"].names("taken") == ["scale"]
    assert torch.equal(third.tokenizer.scale, nets["ema_tokenizer.scale"])


def test_a_tokenizer_with_parameters_that_does_not_say_so_is_refused(small, tmp_path):
    tokenizer = Scaled()
    tokenizer.trainable = False
    with pytest.raises(TrainingError, match=r"No optimizer trains the tokenizer's parameter 'scale'"):
        Run(build_pipeline(small, tokenizer=tokenizer), tmp_path)


def test_the_weights_of_a_frozen_tokenizer_are_not_saved(small, tmp_path):
    build_pipeline(small).save(tmp_path)
    assert not (tmp_path / "tokenizer.safetensors").exists()


# -- guidance and samplers as objects, names and settings ------------------------------------------------------------


def images_of(pipeline, **options):
    return pipeline.generate([0, 1], tensors=True, **options)


@pytest.fixture
def pipeline(small):
    found = build_pipeline(small, guidance={"cfg": {"scale": 3.0}})
    with torch.no_grad():
        for parameter in found.backbone.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
    return found


def test_guidance_is_a_scale_a_name_a_mapping_or_an_object(pipeline):
    configured = images_of(pipeline)
    unguided = images_of(pipeline, guidance=1.0)
    assert not torch.equal(configured, unguided)
    for same in (3.0, "cfg", {"cfg": 3.0}, ClassifierFree(ClassifierFreeConfig(scale=3.0))):
        assert torch.equal(images_of(pipeline, guidance=same), configured)


def test_an_object_replaces_the_configured_guidance(pipeline):
    assert torch.equal(
        images_of(pipeline, guidance=ClassifierFree(ClassifierFreeConfig())), images_of(pipeline, guidance=1.0)
    )


def test_a_pipeline_is_built_with_a_guidance_object(small, pipeline):
    mine = ClassifierFree(ClassifierFreeConfig(scale=3.0))
    built = build_pipeline(small, guidance={"mine": mine, "cfg": None})
    built.backbone.load_state_dict(pipeline.backbone.state_dict())
    assert torch.equal(images_of(built), images_of(pipeline))


def test_a_default_beside_an_object_is_named(small):
    with pytest.warns(ConfigWarning, match="guidance: 'ClassifierFree' is combined with defaults: cfg"):
        build_pipeline({**small, "method": "vae"}, guidance=ClassifierFree(ClassifierFreeConfig(scale=3.0)))


def test_a_saved_pipeline_needs_its_guidance_object_again(small, tmp_path):
    mine = ClassifierFree(ClassifierFreeConfig(scale=3.0))
    build_pipeline(small, guidance={"mine": mine}).save(tmp_path)
    with pytest.raises(ConfigError, match=r"Pipeline.load\(folder, guidance=\{'mine': \.\.\.\}\)"):
        Pipeline.load(tmp_path)
    assert Pipeline.load(tmp_path, guidance={"mine": mine}).guidance["mine"] is mine


def test_other_settings_keep_the_trained_parts(pipeline):
    other = pipeline.reconfigured({"sampler": {"name": "heun", "steps": 5}, "guidance": {"cfg": {"scale": 1.0}}})
    assert other.backbone is pipeline.backbone
    assert other.sampler.steps == 5
    assert [type(each.sampler) for each in (pipeline, other)] == [Euler, Heun]
    with pytest.raises(ConfigError, match="^Settings cannot change backbone of a trained pipeline, only"):
        pipeline.reconfigured({"backbone": "ddt"})


def test_a_pipeline_is_reconfigured_with_a_guidance_object(pipeline):
    mine = ClassifierFree(ClassifierFreeConfig(scale=3.0))
    others = dict.fromkeys(pipeline.config.groups["guidance"])
    assert dict(pipeline.reconfigured({"guidance": {**others, "mine": mine}}).guidance) == {"mine": mine}


class Stochastic:
    """Adds numbers of the rng: the definite number of steps and the keys are what a sampler receives."""

    steps = 3

    def sample(self, objective, velocity_fn, noise, condition, steps, rng):
        self.received = (steps, rng.slots)
        return noise.map(lambda x: x + rng.normal(f"mine.{steps}", x.shape[1:]))


def test_a_sampler_receives_a_number_of_steps_and_keyed_numbers(small):
    sampler = Stochastic()
    pipeline = build_pipeline(small, sampler=sampler)
    whole = images_of(pipeline)
    assert sampler.received == (3, (0, 1))
    assert torch.allclose(images_of(pipeline, batch_size=1), whole, atol=1e-5)
    assert not torch.allclose(images_of(pipeline, steps=4), whole, atol=1e-2)
    assert sampler.received[0] == 4


def test_sampling_starts_at_the_end_of_the_path(small):
    pipeline = build_pipeline(small, sampler=Stochastic())
    flow = pipeline.objective

    class Wide(type(flow)):
        def interpolate(self, clean, noise, t):
            return super().interpolate(clean, noise.map(lambda x: 80 * x), t)

    wide = pipeline.with_parts(objective=Wide(flow.config, latent=flow.latent))
    rng = KeyedRNG(0, [0, 1])
    assert torch.allclose(wide._noise(rng).latent, 80 * pipeline._noise(rng).latent)
    assert torch.equal(pipeline._noise(rng).latent, rng.normal("sample.latent", pipeline.latent.shape))


def test_a_batch_is_refused_without_images_for_a_trained_tokenizer(small, tmp_path):
    run = Run(build_pipeline(small, tokenizer=Scaled()), tmp_path)
    batch = next(run.pipeline.task.batches("train", 4))
    batch = run.stage.prepare(batch, 0)._replace(images=None)
    with pytest.raises(TrainingError, match="The tokenizer is trained, but the batch has precomputed latents"):
        run.stage.loss("student", batch, KeyedRNG(0, range(4)))


def on_path(objective, **options):
    """Return a configuration on the drawings with a transformer of three blocks."""
    return {
        "task": "imagenet",
        "image_size": 16,
        "dataset": {"name": "openmoji", "train": 16, "val": 8},
        "tokenizer": "openmoji-vae",
        "backbone": {"name": "lightning-dit", "hidden": 16, "depth": 3, "heads": 1},
        "objective": objective,
        "sampler": {"name": "euler", "steps": 2},
        "stage": {"name": "diffusion", "ema_decay": 0.5},
        "train": {"steps": 2, "batch_size": 8, "precision": "fp32", "log_every": 1, "sample_every": 0},
        **options,
    }


@pytest.mark.parametrize("task", ["imagenet", "t2i"])
@pytest.mark.parametrize("objective", ["edm", "trigflow"])
def test_distillation_trains_on_other_paths(objective, task, tmp_path):
    """The distance of a student from its own weights is 0, from others that of two networks, whatever the path."""
    conditioner = {"conditioner": "text"} if task == "t2i" else {}
    teacher = build_pipeline(on_path(objective, task=task, **conditioner))
    for parameter in teacher.backbone.parameters():
        nn.init.normal_(parameter, std=0.1)
    folder = str(teacher.save(tmp_path / "teacher"))
    distill = {"distill": {"teacher": folder}}
    pipeline = build_pipeline(on_path(objective, task=task, auxiliary=distill, **conditioner))
    pipeline.backbone.load_state_dict(teacher.backbone.state_dict())
    Run(pipeline, tmp_path / "run").train()
    entries = metrics_log.read(tmp_path / "run")
    assert entries[0]["distill.distance"] == pytest.approx(0, abs=1e-8)
    assert entries[1]["distill.distance"] > 1e-8
    assert Pipeline.load(tmp_path / "run").sample(pipeline.task.eval_batch(2)).isfinite().all()


def test_distances_of_velocities_are_relative_to_the_speed_of_the_path(tmp_path):
    """EDM's velocity is sigma_max (x - D) / sigma. The distance is that of D / sigma, times 2 for one moving end."""
    teacher = build_pipeline(on_path("edm"))
    for parameter in teacher.backbone.parameters():
        nn.init.normal_(parameter, std=0.1)
    folder = str(teacher.save(tmp_path / "teacher"))
    pipeline = build_pipeline(on_path("edm", auxiliary={"distill": {"teacher": folder}}))
    batch = next(iter(pipeline.task.batches("train", 8)))
    clean = State(pipeline.tokenizer.encode(batch.images).float())
    condition, null = pipeline.conditioner.encode(batch), pipeline.conditioner.null(8)
    found = []
    for each in (pipeline, teacher):
        net = each.backbone.eval()
        found.append(each.objective.loss({"student": net}, clean, condition, null, KeyedRNG(0, range(8))).forward_pass)
    sigma = found[0].state.latent - clean.latent  # sigma noise, by sample
    level = sigma.flatten(1).norm(dim=1) / found[0].noise.latent.flatten(1).norm(dim=1)
    error = (found[0].denoised.latent - found[1].denoised.latent).flatten(1) / level[:, None]
    auxiliary = Run(pipeline, tmp_path / "run").stage.auxiliaries["distill"]
    distance = auxiliary.loss(found[0], clean, batch, {}, KeyedRNG(0, range(8))).parts["distance"]
    torch.testing.assert_close(distance, 2 * error.square().mean(), rtol=1e-3, atol=0)


def test_a_teacher_on_another_path_is_refused(tmp_path):
    folder = str(build_pipeline(on_path("flow")).save(tmp_path))
    with pytest.raises(Incompatible, match=r"another path from data to noise: its objective is 'flow'.*'edm'"):
        Run(build_pipeline(on_path("edm", auxiliary={"distill": {"teacher": folder}})), tmp_path / "run")


@pytest.mark.parametrize("task", ["imagenet", "t2i"])
def test_self_alignment_trains_on_the_arc(task, tmp_path):
    config = on_path("trigflow", task=task, auxiliary={"sra": {"block": 1, "teacher_block": 3}})
    pipeline = build_pipeline(config)
    Run(pipeline, tmp_path).train()
    entries = metrics_log.read(tmp_path)
    assert all(0 < entry["sra.distance"] < float("inf") for entry in entries)
    assert Pipeline.load(tmp_path).sample(pipeline.task.eval_batch(2)).isfinite().all()


def test_self_alignment_refuses_times_that_are_no_share_of_noise(tmp_path):
    with pytest.raises(Incompatible, match="The path of this objective has another share"):
        Run(build_pipeline(on_path("edm", auxiliary={"sra": {"block": 1, "teacher_block": 3}})), tmp_path)


class AsksForFeatures(TinyFlow):
    """Requests a block output of its own, which it counts."""

    def loss(self, nets, clean, condition, null, rng):
        def student(*inputs):
            return nets["student"](*inputs, intermediates=("block.2",))

        losses = super().loss({"student": student}, clean, condition, null, rng)
        features = losses.forward_pass.prediction.features
        return losses._replace(parts={"features": torch.tensor(float(len(features)))})


def test_an_objective_and_an_auxiliary_both_receive_their_block_outputs(tmp_path):
    config = on_path("flow", auxiliary={"sra": {"block": 1, "teacher_block": 3}})
    pipeline = build_pipeline(config, objective=AsksForFeatures(TinyFlowConfig()))
    Run(pipeline, tmp_path).train()
    entries = metrics_log.read(tmp_path)
    assert [entry["features"] for entry in entries] == [2, 2]  # block.1 of the auxiliary, and block.2
    assert all(entry["sra.distance"] > 0 for entry in entries)
