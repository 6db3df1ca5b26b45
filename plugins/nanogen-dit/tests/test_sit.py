"""The backbone `dit` against recorded outputs of the public SiT classes, and the backbone contract.

`record_sit.py` made the files of `sit_fixtures`: random weights, also in adaLN and the head.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from attrs import evolve
from safetensors.torch import load_file
from torch import Tensor

from nanogen_core.errors import ConfigError, DataError, Incompatible
from nanogen_core.guidance import ClassifierFree
from nanogen_core.randomness import KeyedRNG
from nanogen_core.sampling import Euler, velocity_field
from nanogen_core.settings import ClassifierFreeConfig, SamplerConfig
from nanogen_core.specs import ConditionSpec, LatentSpec
from nanogen_core.tensors import Condition, State, Times
from nanogen_core.testing import BackboneContract
from nanogen_dit.dit import DiT
from nanogen_dit.dit_config import DiTConfig
from nanogen_dit.dit_embeddings import position_table
from nanogen_dit.dit_published import SiTCheckpoint, export_sit, read_sit
from nanogen_dit.dit_published.architecture import infer
from nanogen_flow.config import FlowConfig
from nanogen_flow.objective import Flow

FIXTURES = Path(__file__).parent / "sit_fixtures"
CASES = ("sit_sigma", "sit_plain")
SMALL: dict[str, Any] = {"hidden": 32, "depth": 2, "heads": 2}
LATENT = LatentSpec(4, 8, 8, factor=8)
LABEL = ConditionSpec(width=6, length=1, learned=3)
TEXT = ConditionSpec(width=10, length=5, normalize=True, padded=True)
ABLE = frozenset({"two-time", "features", "jvp"})


@pytest.mark.parametrize("reverse_time", [False, True])
class TestDiT(BackboneContract):
    provides = ABLE

    @pytest.fixture
    def build(self, reverse_time: bool) -> Callable[..., DiT]:
        return partial(DiT, DiTConfig(**SMALL, reverse_time=reverse_time), wanted=ABLE)


# -- against the public classes --------------------------------------------------------------------------------------


def recorded(name: str) -> tuple[SiTCheckpoint, dict[str, Tensor], dict[str, Any]]:
    facts = json.loads((FIXTURES / f"{name}.json").read_text())
    return read_sit(FIXTURES / f"{name}.safetensors", facts), load_file(FIXTURES / f"{name}.safetensors"), facts


def far(ours: Tensor, theirs: Tensor) -> float:
    assert ours.shape == theirs.shape
    return float((ours - theirs).abs().max() / theirs.abs().max())


def labels(found: SiTCheckpoint, numbers: Tensor) -> Condition:
    return Condition(F.one_hot(numbers, found.condition.width).float()[:, None])


def null(found: SiTCheckpoint, count: int) -> Condition:
    return labels(found, torch.full((count,), found.condition.width - 1))


@torch.no_grad()
@pytest.mark.parametrize("name", CASES)
def test_the_forward_pass_agrees_with_sit(name: str) -> None:
    """SiT's time and velocity have the opposite direction."""
    found, tensors, _ = recorded(name)
    network, t = found.build(), 1 - tensors["in.t"]
    for condition, output in (
        (labels(found, tensors["in.labels"]), "out.model"),
        (null(found, len(t)), "out.model_null"),
    ):
        ours = network(State(tensors["in.x"]), Times(t, t), condition).value.latent
        assert far(-ours, tensors[output]) < 1e-5


@torch.no_grad()
@pytest.mark.parametrize("name", CASES)
def test_a_factor_of_1000_gives_the_embedding_of_timesteps(name: str) -> None:
    """DiT's timesteps 0 .. 999, by the same class."""
    found, tensors, _ = recorded(name)
    settings = {**found.architecture.settings, "reverse_time": False, "time_factor": 1000.0}
    network = DiT(DiTConfig(**settings), latent=found.latent, condition=found.condition)
    network.load_state_dict(dict(found.state))
    t = tensors["in.steps"] / 1000
    ours = network(State(tensors["in.x"]), Times(t, t), labels(found, tensors["in.labels"])).value.latent
    assert far(-ours, tensors["out.model_at_steps"]) < 1e-5


@torch.no_grad()
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(
    ("output", "guidance"),
    [("out.sample", None), ("out.sample_cfg_three", {"channels": 3}), ("out.sample_cfg_all", {})],
)
def test_samples_agree_with_sit(name: str, output: str, guidance: dict[str, Any] | None) -> None:
    """SiT's ODE by Euler's method. `forward_with_cfg` guides the first three channels."""
    found, tensors, facts = recorded(name)
    objective = Flow(FlowConfig(shift=1.0), latent=found.latent)
    velocity_fn = velocity_field(objective, found.build())
    if guidance is not None:
        config = ClassifierFreeConfig(scale=facts["scale"], **guidance)
        velocity_fn = ClassifierFree(config).wrap(velocity_fn, null(found, len(tensors["in.labels"])))
    condition = labels(found, tensors["in.labels"])
    sampler = Euler(SamplerConfig(steps=facts["steps"]))
    ours = sampler.sample(
        objective, velocity_fn, State(tensors["in.noise"]), condition, sampler.steps, KeyedRNG(0, [])
    ).latent
    assert far(ours, tensors[output]) < 1e-4


@pytest.mark.parametrize("name", CASES)
def test_export_is_the_inverse_of_import(name: str) -> None:
    found, tensors, facts = recorded(name)
    theirs = {key.removeprefix("ckpt."): x for key, x in tensors.items() if key.startswith("ckpt.")}
    exported = export_sit(found.build())
    assert exported.keys() == theirs.keys()
    patch, channels = facts["config"]["patch_size"], facts["config"]["in_channels"]
    for key, x in exported.items():
        expected = theirs[key]
        if key.startswith("final_layer.linear"):  # without the variance
            expected = expected.reshape(patch**2, -1, *expected.shape[1:])[:, :channels].flatten(0, 1)
        assert torch.equal(x, expected) if key != "pos_embed" else torch.allclose(x, expected, atol=1e-7), key


@pytest.mark.parametrize("name", CASES)
def test_the_architecture_comes_from_the_shapes(name: str) -> None:
    found, _, facts = recorded(name)
    sizes = facts["config"]
    side = sizes["input_size"]
    assert found.latent.shape == (sizes["in_channels"], side, side)
    assert found.condition.width == sizes["num_classes"] + 1
    assert found.architecture.sigma == sizes["learn_sigma"]
    for ours, theirs in {"hidden": "hidden_size", "depth": "depth", "heads": "num_heads"}.items():
        assert found.architecture.settings[ours] == sizes[theirs]
    assert found.architecture.settings["mlp_ratio"] == sizes.get("mlp_ratio", 4.0)


# -- the backbone ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "patch", "millions"), [("S", 2, 33), ("B", 2, 130), ("L", 2, 458), ("XL", 2, 675)])
def test_the_published_sizes(size: str, patch: int, millions: int) -> None:
    """Parameter counts of table 1 of the DiT paper, which include the learned variance."""
    with torch.device("meta"):
        config = DiTConfig(size=size, patch_size=patch)
        latent, condition = LatentSpec(4, 32, 32, factor=8), ConditionSpec(width=1001, length=1, learned=8)
        network = DiT(config, latent=latent, condition=condition)
    count = sum(p.numel() for p in network.parameters()) + patch**2 * 4 * (config.trunk.hidden + 1)
    assert round(count / 1e6) == millions


def test_the_patch_size_follows_from_the_latent_or_is_given() -> None:
    for patch_size, grid in ((None, (16, 16)), (4, (8, 8)), (8, (4, 4))):
        config = DiTConfig(size="tiny", patch_size=patch_size)
        assert DiT(config, latent=LatentSpec(4, 32, 32, factor=8), condition=LABEL).geometry.grid == grid


def test_positions_are_columns_then_rows_in_sines_then_cosines() -> None:
    """Computed from the definition for each cell."""
    table, width = position_table((2, 3), 16), 16
    for row in range(2):
        for column in range(3):
            for half, axis in enumerate((column, row)):
                for i in range(width // 4):
                    angle = torch.tensor(axis / 10_000 ** (i / (width / 4)), dtype=torch.float64)
                    cell = table[3 * row + column, half * 8 : half * 8 + 8]
                    assert cell[i] == pytest.approx(float(angle.sin()), abs=1e-6)
                    assert cell[4 + i] == pytest.approx(float(angle.cos()), abs=1e-6)


@pytest.mark.parametrize("condition", [LABEL, TEXT], ids=["label", "text"])
def test_initial_weights_are_the_published_ones(condition: ConditionSpec) -> None:
    network = DiT(DiTConfig(size="tiny"), latent=LATENT, condition=condition, wanted=frozenset({"two-time"}))
    zero = {name for name, p in network.named_parameters() if not p.any() and name.endswith("weight")}
    blocks = {f"blocks.{n}.modulation.weight" for n in range(6)}
    assert zero == {*blocks, "head.modulation.weight", "head.readout.weight"}
    assert not any(p.any() for name, p in network.named_parameters() if name.endswith("bias"))
    for name in ("time.mlp_in", "time.mlp_out", "interval.mlp_in"):
        assert network.get_parameter(f"{name}.weight").detach().std() == pytest.approx(0.02, rel=0.03)
    qkv = network.get_parameter("blocks.0.attention.qkv.weight")  # [384, 128]: the fused map is one
    assert float(qkv.detach().abs().max()) == pytest.approx((6 / (384 + 128)) ** 0.5, rel=0.01)
    if condition is LABEL:
        assert network.get_parameter("condition.proj.weight").detach().std() == pytest.approx(0.02, rel=0.1)


def awake(condition: ConditionSpec, **options: Any) -> DiT:
    network = DiT(DiTConfig(**SMALL, **options), latent=LATENT, condition=condition).double()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return network


STATE = State(torch.randn(2, 4, 8, 8, dtype=torch.float64))
HALF = torch.full((2,), 0.4, dtype=torch.float64)


def test_a_class_is_a_row_of_the_table() -> None:
    network = awake(LABEL)
    one_hot = F.one_hot(torch.tensor([4]), 6).double()[:, None]
    assert torch.equal(network.condition(one_hot, None)[0], network.condition.proj.weight[:, 4])


def test_a_text_is_the_mean_of_its_real_tokens() -> None:
    network, tokens = awake(TEXT), torch.randn(2, 5, 10, dtype=torch.float64)
    mask = torch.arange(5) < torch.tensor([2, 5])[:, None]
    embedding = network.condition
    normal = tokens / (tokens.square().mean(-1, keepdim=True) + 1e-6).sqrt() * embedding.norm.weight
    expected = torch.stack([normal[0, :2].mean(0), normal[1].mean(0)]) @ embedding.proj.weight.T + embedding.proj.bias
    assert torch.allclose(embedding(tokens, mask), expected)


def test_the_null_text_has_no_token_and_a_finite_output() -> None:
    network = awake(TEXT)
    nothing = torch.zeros(2, 5, dtype=torch.bool)
    outputs = [
        network(STATE, Times(HALF, HALF), Condition(torch.full((2, 5, 10), fill, dtype=torch.float64), nothing))
        for fill in (0.0, 7.0, float("nan"))
    ]
    assert outputs[0].value.latent.isfinite().all()
    assert all(torch.equal(output.value.latent, outputs[0].value.latent) for output in outputs)


def test_padding_that_is_taken_away_does_not_change_the_output() -> None:
    network = awake(evolve(TEXT, length=9))
    tokens, mask = torch.randn(2, 9, 10, dtype=torch.float64), torch.arange(9) < torch.tensor([3, 5])[:, None]
    short = Condition(tokens[:, :5], mask[:, :5])
    first, second = (network(STATE, Times(HALF, HALF), c).value.latent for c in (short, Condition(tokens, mask)))
    torch.testing.assert_close(first, second)


def test_reversed_time_is_one_minus_t() -> None:
    plain, reversed_ = awake(LABEL), awake(LABEL, reverse_time=True)
    reversed_.load_state_dict(plain.state_dict())
    condition = Condition(F.one_hot(torch.tensor([1, 5]), 6).double()[:, None])
    expected = plain(STATE, Times(1 - HALF, 1 - HALF), condition).value.latent
    assert torch.equal(reversed_(STATE, Times(HALF, HALF), condition).value.latent, expected)


def test_autocast_returns_the_dtype_of_the_state() -> None:
    network = awake(LABEL).float()
    inputs = State(STATE.latent.float()), Times(HALF.float(), HALF.float()), Condition(torch.eye(6)[:2, None])
    exact = network(*inputs).value.latent
    with torch.autocast("cpu", torch.bfloat16):
        value = network(*inputs).value.latent
    assert value.dtype == torch.float32
    assert (value - exact).norm() < 0.1 * exact.norm()


def test_it_can_be_traced_as_one_graph() -> None:
    network = awake(TEXT)
    mask = torch.arange(5) < torch.tensor([2, 5])[:, None]
    inputs = STATE, Times(HALF, HALF), Condition(torch.randn(2, 5, 10, dtype=torch.float64), mask), ("block.1",)
    compiled = torch.compile(network, fullgraph=True, backend="eager")
    assert torch.allclose(compiled(*inputs).value.latent, network(*inputs).value.latent)


def test_forward_mode_agrees_with_finite_differences() -> None:
    torch.manual_seed(0)
    network = DiT(DiTConfig(**SMALL, reverse_time=True), latent=LATENT, condition=LABEL, wanted=ABLE).double()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    condition = Condition(torch.eye(6, dtype=torch.float64)[:2, None])
    # Times are scaled by 1000, so the third derivative is about 1e9 times the value: the step's error is s^2 / 6 of it.
    direction, step = torch.randn_like(STATE.latent), 1e-7

    def along(x: Tensor, t: Tensor) -> Tensor:
        value: Tensor = network(State(x), Times(t, HALF / 2), condition).value.latent
        return value

    _, tangent = torch.func.jvp(along, (STATE.latent, HALF), (direction, torch.ones_like(HALF)))
    ahead, behind = (along(STATE.latent + s * direction, HALF + s) for s in (step, -step))
    assert torch.allclose(tangent, (ahead - behind) / (2 * step), rtol=1e-5, atol=1e-5)


def test_wrong_options_are_named() -> None:
    with pytest.raises(ConfigError, match="size: 'XXL' is unknown. Use one of tiny, S, B, L, XL"):
        DiTConfig(size="XXL")
    with pytest.raises(ConfigError, match="got width 32 and heads 5"):
        DiTConfig(hidden=32, heads=5)


def test_a_class_token_is_refused() -> None:
    with pytest.raises(Incompatible, match="The backbone `dit` has no class token: use `lightning-dit` or `ddt`"):
        DiT(DiTConfig(size="tiny"), latent=LatentSpec(4, 8, 8, cls_token_width=16), condition=LABEL)


def test_an_unpublished_size_needs_its_number_of_heads() -> None:
    found, _, facts = recorded(CASES[0])
    settings = {name: value for name, value in found.architecture.settings.items() if name != "heads"}
    unknown = evolve(found, architecture=evolve(found.architecture, settings=settings, open_heads=True))
    with pytest.raises(ConfigError, match=r"no published size has width \d+ and depth \d+, .*: build\(heads=...\)"):
        unknown.build()
    heads = facts["config"]["num_heads"]
    assert unknown.build(heads).trunk == found.build().trunk


@pytest.mark.parametrize(
    ("options", "condition", "wanted", "sentence"),
    [
        ({}, LABEL, {"two-time"}, "no name for 'interval"),
        ({}, TEXT, set(), "no name for 'condition"),
        ({"reverse_time": False}, LABEL, set(), "reverse_time False and time_factor 1"),
        ({"time_factor": 1000.0}, LABEL, set(), "reverse_time True and time_factor 1000"),
    ],
)
def test_a_network_that_sit_would_not_run_is_not_exported(
    options: dict[str, Any], condition: ConditionSpec, wanted: set[str], sentence: str
) -> None:
    config = DiTConfig(hidden=32, depth=1, heads=2, **{"reverse_time": True, **options})
    network = DiT(config, latent=LATENT, condition=condition, wanted=frozenset(wanted))
    with pytest.raises(Incompatible, match=sentence):
        export_sit(network)


@pytest.mark.parametrize(
    ("name", "shape"),
    [("x_embedder.proj.weight", (128, 16)), ("pos_embed", (16,)), ("final_layer.linear.weight", ())],
)
def test_a_tensor_without_an_axis_is_named(name: str, shape: tuple[int, ...]) -> None:
    shapes = {key: tuple(x.shape) for key, x in export_sit(recorded(CASES[0])[0].build()).items()}
    with pytest.raises(DataError, match=re.escape(f"{name} of the checkpoint has the shape {[*shape]}. Its axis")):
        infer({**shapes, name: shape})
