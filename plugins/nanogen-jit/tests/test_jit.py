"""The backbone `jit` against recorded outputs of the public JiT code (`record_jit.py`), its contract, and training."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from nanogen_core import Pipeline, build_pipeline
from nanogen_core.config import resolve
from nanogen_core.errors import ConfigError, DataError, Incompatible, NanoGenError
from nanogen_core.guidance import ClassifierFree
from nanogen_core.randomness import KeyedRNG
from nanogen_core.registry import registry
from nanogen_core.sampling import Euler, Heun, velocity_field
from nanogen_core.settings import ClassifierFreeConfig, SamplerConfig
from nanogen_core.specs import ConditionSpec, LatentSpec
from nanogen_core.tensors import Condition, State, Times
from nanogen_core.testing import BackboneContract, PluginContract, TokenizerContract
from nanogen_files import yaml_files
from nanogen_files.structure import structure
from nanogen_flow.config import FlowConfig
from nanogen_flow.objective import Flow
from nanogen_jit.config import JiTConfig, ScaledPixelConfig
from nanogen_jit.network import JiT
from nanogen_jit.published import from_published, to_published
from nanogen_jit.tokenizer import ScaledPixel
from nanogen_train import start_from
from nanogen_train.logging import metrics_log
from nanogen_train.trainer.loop import Run

RECORDED = load_file(Path(__file__).with_name("public_jit.safetensors"))
PUBLISHED = {name: tensor for name, tensor in RECORDED.items() if name.startswith("net.")}
SIZES: dict[str, Any] = {
    "hidden": 24, "depth": 3, "heads": 2, "bottleneck": 10, "patch_size": 4, "in_context_start": 1,
    "in_context_tokens": 3,
}  # fmt: skip
LATENT = LatentSpec(3, 16, 16)
LABEL = ConditionSpec(width=6, length=1, learned=8)
NOISE_SCALE = 2.0  # of the recorded loss and samples
ABLE = frozenset({"two-time", "features", "jvp"})


class TestManifest(PluginContract):
    @pytest.fixture
    def manifest(self) -> str:
        return "nanogen_jit.plugin"


class TestJiT(BackboneContract):
    provides = ABLE
    intermediates = ("block.1", "block.3")  # before and after the in-context tokens join

    @pytest.fixture
    def build(self) -> Callable[..., JiT]:
        return partial(JiT, JiTConfig(hidden=32, depth=3, heads=2, bottleneck=8), wanted=ABLE)


class TestWithoutSecondTime(BackboneContract):
    provides = frozenset({"features"})

    @pytest.fixture
    def build(self) -> Callable[..., JiT]:
        return partial(JiT, JiTConfig(hidden=32, depth=2, heads=2, bottleneck=8, in_context_start=0))


@pytest.mark.parametrize("noise_scale", [None, 2.0])
class TestScaledPixel(TokenizerContract):
    reconstruction = 1e-6
    wrong_size = None

    @pytest.fixture
    def tokenizer(self, noise_scale: float | None) -> ScaledPixel:
        return ScaledPixel(ScaledPixelConfig(noise_scale=noise_scale), image_size=32)


# -- against the public code -----------------------------------------------------------------------------------------


def network(noise_scale: float = 1.0) -> JiT:
    net = JiT(JiTConfig(**SIZES), latent=LATENT, condition=LABEL).eval()
    net.load_state_dict(from_published(PUBLISHED, net, noise_scale=noise_scale))
    return net


def labels(*numbers: int) -> Condition:
    return Condition(F.one_hot(torch.tensor(numbers), LABEL.width).float()[:, None])


def far(ours: Tensor, theirs: Tensor) -> float:
    assert ours.shape == theirs.shape
    return float((ours - theirs).abs().max() / theirs.abs().max())


@torch.no_grad()
def test_the_forward_pass_agrees() -> None:
    """Time runs from noise to data in the public code."""
    t = 1 - RECORDED["in.t"]
    ours = network()(State(RECORDED["in.x"]), Times(t, t), labels(0, 4, 5)).value.latent
    assert far(ours, RECORDED["out.x"]) < 1e-5


@torch.no_grad()
def test_the_loss_with_a_noise_scale_agrees() -> None:
    """Latents are divided by the noise scale, so that the loss is smaller by its square. One time is damped."""
    objective = Flow(FlowConfig(prediction="x", shift=1.0), latent=LATENT)
    tokenizer = ScaledPixel(ScaledPixelConfig(noise_scale=NOISE_SCALE), image_size=16)
    clean = State(tokenizer.encode(RECORDED["in.images"]))
    losses = objective.losses_at(
        network(NOISE_SCALE), clean, State(RECORDED["in.noise"]), 1 - RECORDED["in.t"], labels(0, 4, 5)
    )
    assert float(losses["flow"].mean()) * NOISE_SCALE**2 == pytest.approx(float(RECORDED["out.loss"]), rel=1e-5)


@torch.no_grad()
@pytest.mark.parametrize(("method", "sampler"), [("euler", Euler), ("heun", Heun)])
def test_guided_samples_agree(method: str, sampler: type[Euler]) -> None:
    """The options of the method and of the recipes: a uniform grid, guidance above the time 0.1 of the public code."""
    given = resolve({"method": "jit-transformer", "task": "imagenet", "dataset": "openmoji", "image_size": 16})
    objective = Flow(given.slots["objective"].config, latent=LATENT)
    guidance = ClassifierFree(ClassifierFreeConfig(scale=2.5, t_max=0.899))
    velocity_fn = guidance.wrap(velocity_field(objective, network(NOISE_SCALE)), labels(5, 5, 5))
    state = State(RECORDED["in.start"])
    rng = KeyedRNG(0, range(3))
    ours = sampler(SamplerConfig()).sample(objective, velocity_fn, state, labels(0, 3, 4), 6, rng).latent
    assert far(ours * NOISE_SCALE, RECORDED[f"out.{method}"]) < 1e-4


def test_weights_are_written_as_they_were_read() -> None:
    for scale in (1.0, NOISE_SCALE):
        written = to_published(network(scale), noise_scale=scale)
        assert {f"net.{name}" for name in written} == PUBLISHED.keys()
        assert all(far(tensor, PUBLISHED[f"net.{name}"]) < 1e-6 for name, tensor in written.items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"net.extra": torch.ones(1)}, "has the unknown tensor 'extra'"),
        ({"net.pos_embed": None}, "lacks the tensor 'pos_embed'"),
        ({"net.pos_embed": torch.zeros(1, 16, 24)}, "not this network's fixed position table"),
        ({"net.in_context_posemb": torch.zeros(1, 4, 24)}, r"'in_context_posemb' .* has shape \(1, 4, 24\)"),
    ],
)
def test_other_weights_are_refused(change: dict[str, Tensor | None], message: str) -> None:
    state = {name: tensor for name, tensor in {**PUBLISHED, **change}.items() if tensor is not None}
    with pytest.raises(DataError, match=message):
        from_published(state, JiT(JiTConfig(**SIZES), latent=LATENT, condition=LABEL))


# -- sizes and options -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "millions", "start"), [("B", 131, 4), ("L", 459, 8), ("H", 953, 10)])
def test_presets_have_the_published_sizes(size: str, millions: int, start: int) -> None:
    """The table of the paper."""
    config = JiTConfig(size=size, patch_size=16)
    with torch.device("meta"):
        net = JiT(config, latent=LatentSpec(3, 256, 256), condition=ConditionSpec(width=1001, length=1, learned=8))
    assert sum(parameter.numel() for parameter in net.parameters()) / 1e6 == pytest.approx(millions, rel=0.01)
    assert (config.start, net.geometry.tokens) == (start, 256)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": "XL"}, "size: 'XL' is unknown. Use one of tiny, B, L, H"),
        ({"size": "tiny", "in_context_start": 6}, r"in_context_start: must be below the number of blocks \(6\)"),
        ({"size": "tiny", "heads": 3}, r"heads: the width must be a multiple of 4 \* heads.*width 128 and heads 3"),
        ({"in_context_tokens": 0}, "in_context_tokens"),
        ({"bottleneck": 0}, "bottleneck"),
    ],
)
def test_wrong_options_are_sentences(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        structure(options, JiTConfig, "backbone")


def test_a_latent_that_patches_do_not_divide_is_refused() -> None:
    with pytest.raises(Incompatible, match="cannot be cut into patches of 16 x 16"):
        JiT(JiTConfig(size="tiny"), latent=LatentSpec(3, 40, 40), condition=LABEL)


def test_an_unknown_block_is_a_sentence() -> None:
    t = torch.full((3,), 0.5)
    with pytest.raises(NanoGenError, match=r"no intermediate 'block.4'. Use 'block.1' to 'block.3'"):
        network()(State(RECORDED["in.x"]), Times(t, t), labels(0, 1, 2), ("block.4",))


@torch.no_grad()
def test_a_shorter_batch_of_captions_has_the_same_outputs() -> None:
    """Conditioners return as many tokens as the longest caption of a batch has."""
    spec = ConditionSpec(width=10, length=7, normalize=True, padded=True)
    net = JiT(JiTConfig(**SIZES), latent=LATENT, condition=spec).eval()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    tokens, mask = torch.randn(2, 7, 10), torch.arange(7) < torch.tensor([[3], [2]])
    state, t = State(torch.randn(2, 3, 16, 16)), torch.full((2,), 0.5)
    padded = net(state, Times(t, t), Condition(tokens, mask)).value.latent
    short = net(state, Times(t, t), Condition(tokens[:, :3], mask[:, :3])).value.latent
    torch.testing.assert_close(short, padded, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("size", "scale"), [(64, 1.0), (256, 1.0), (512, 2.0), (1024, 4.0)])
def test_the_noise_scale_follows_the_image_size(size: int, scale: float) -> None:
    assert ScaledPixel(ScaledPixelConfig(), image_size=size).noise_scale == scale


# -- the method ------------------------------------------------------------------------------------------------------


def test_times_have_the_published_distribution() -> None:
    """The paper's time is 1 - t, and logit-normal(-0.8, 0.8)."""
    given = resolve({"method": "jit-transformer", "task": "imagenet", "dataset": "openmoji"})
    objective = Flow(given.slots["objective"].config, latent=LatentSpec(3, 64, 64))
    normal = torch.randn(64, generator=torch.Generator().manual_seed(0))
    rng: Any = type("Rng", (), {"normal": lambda self, key, shape: -normal})()
    torch.testing.assert_close(1 - objective.times(rng), torch.sigmoid(normal * 0.8 - 0.8))
    torch.testing.assert_close(objective.grid(4), torch.linspace(1, 0, 5, dtype=torch.float64))


@pytest.mark.parametrize("task", ["imagenet", "t2i"])
@pytest.mark.parametrize("recipe", ["jit-b-16", "jit-b-32-512"])
def test_recipes_resolve_on_both_tasks(recipe: str, task: str) -> None:
    package, _, file = registry().recipes[recipe].partition(":")
    given = resolve(yaml_files.read(Path(str(files(package) / file))), {"task": task, "dataset": "openmoji"})
    assert given.slots["backbone"].config.trunk.depth == 12
    assert given.sections["train"].gradient_clip is None
    assert (given.task, given.slots["tokenizer"].name) == (task, "scaled-pixel")


TRAIN = {"steps": 24, "batch_size": 16, "precision": "fp32", "log_every": 1, "sample_count": 2, "checkpoint_every": 24}


@pytest.mark.parametrize("task", ["imagenet", "t2i"])
def test_training_reduces_the_loss_on_both_tasks(tmp_path: Path, task: str) -> None:
    config = {
        "task": task, "method": "jit-transformer", "image_size": 32,
        "dataset": {"name": "openmoji", "train": 64, "val": 16},
        "backbone": {"hidden": 32, "depth": 3, "heads": 2, "bottleneck": 16, "patch_size": 8, "in_context_tokens": 4},
        "optimizer": {"name": "adamw", "lr": 3e-3}, "sampler": {"steps": 2}, "train": TRAIN,
    }  # fmt: skip
    trained = Run(build_pipeline(config), tmp_path).train()
    losses = [entry["loss"] for entry in metrics_log.read(tmp_path)]
    assert sum(losses[-4:]) < 0.8 * sum(losses[:4])
    images = trained.sample(next(trained.task.iter_once("val", 2)), seed=0)
    assert images.shape == (2, 3, 32, 32)


def test_more_blocks_with_a_default_start_say_that_the_output_differs(tmp_path: Path) -> None:
    """The in-context tokens join after a third of the blocks: after block 1 of 3, and after block 2 of 6."""

    def pipeline(**options: Any) -> Pipeline:
        sizes = {"hidden": 16, "depth": 3, "heads": 1, "bottleneck": 8, "patch_size": 8, "in_context_tokens": 4}
        config = {
            "task": "imagenet", "method": "jit-transformer", "image_size": 16,
            "dataset": {"name": "openmoji", "train": 16, "val": 16}, "backbone": {**sizes, **options},
        }  # fmt: skip
        return build_pipeline(config)

    @torch.no_grad()
    def output(net: torch.nn.Module) -> Tensor:
        t = torch.full((3,), 0.5)
        classes = Condition(torch.eye(net.condition.proj.in_features)[:3, None])
        value: Tensor = net(State(torch.ones(3, 3, 16, 16)), Times(t, t), classes).value.latent
        return value

    source = pipeline()
    for parameter in source.backbone.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    folder = str(source.save(tmp_path))
    larger, kept = pipeline(depth=6), pipeline(depth=6, in_context_start=1)
    notes, notes_kept = (start_from(each, folder).notes for each in (larger, kept))
    assert far(output(larger.backbone), output(source.backbone)) > 1e-3
    assert far(output(kept.backbone), output(source.backbone)) < 1e-5
    (note,) = (note for note in notes if "`in_context_start` was 1 and is 2" in note)
    assert "`backbone.in_context_start: 1` keeps it" in note
    assert not any("in-context tokens" in note for note in notes_kept)
