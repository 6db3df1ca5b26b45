"""What a plan says, against closed forms and against steps that were really taken."""

import json
import re
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from torch import nn

from nanogen_core.cli.main import cli
from nanogen_core.config import combine, resolve
from nanogen_core.errors import ConfigError, TrainingError, UnknownName
from nanogen_core.randomness import KeyedRNG
from nanogen_core.specs import LatentSpec
from nanogen_core.tensors import Condition, State
from nanogen_train.optim.optimizers import AdamW, Muon
from nanogen_train.optim.settings import AdamWConfig, MuonConfig
from nanogen_train.planning import cost as costs
from nanogen_train.planning.caption_lengths import CaptionLengths
from nanogen_train.planning.hardware import GPU, gpu_of
from nanogen_train.planning.plan import Setting, plan_for
from nanogen_train.planning.units import BYTES, FLOPS, SECONDS, quantity

DOCUMENT = Path(__file__).parents[1] / "docs" / "scaling.md"
SMALL = {
    "task": "imagenet",
    "dataset": "openmoji",
    "method": "vae",
    "tokenizer": "openmoji-vae",
    "backbone": {"name": "lightning-dit", "hidden": 64, "depth": 3, "heads": 2},
}


@pytest.fixture(scope="module")
def small():
    return costs.cost_of(resolve(combine(SMALL, {})), classes=10)


def cost(**changes):
    values = {
        "latent": LatentSpec(4, 32, 32, factor=8),
        "tokens": 256,
        "parameters": 1_000_000,
        "state_bytes": 8.0,
        "flops": 1e12,
        "flops_by_length": {},
        "activations": 10_000_000,
        "checkpointed": 1_000_000,
        "copies": 2_000_000,
        "block_parameters": 100_000,
    }
    return costs.Cost(**{**values, **changes})


@pytest.mark.parametrize(("patch", "tokens"), [(None, 16), (1, 64), (4, 4)])
def test_tokens_are_those_of_the_backbone(patch, tokens):
    changed = {"backbone": {**SMALL["backbone"], "depth": 1, "patch_size": patch}}
    assert costs.cost_of(resolve(combine(SMALL, changed)), classes=10).tokens == tokens


def test_flops_are_those_of_the_matrix_products(small):
    """Forward: 2 m n k of each linear map and of both products of attention; backward twice that."""
    width, inner, depth = 64, int(2 / 3 * 4 * 64), 3
    image, times, condition = 16, 4, 8
    tokens = image + times + condition
    block = 2 * tokens * width * (4 * width + 3 * inner) + 4 * tokens**2 * width
    patch = 2 * image * (8 * 4) * width
    forward = depth * block + patch + 2 * image * width * (8 * 4)
    time_mlp = 2 * (512 * width + width * width)
    table = 2 * 64 * width  # the one-hot label; its gradient is the weight's alone
    expected = 3 * (forward + time_mlp) + 2 * table - 2 * image * (8 * 4) * width - 2 * 512 * width
    assert small.flops == pytest.approx(expected, rel=0.02)


def test_activations_are_those_that_a_real_step_keeps(small):
    """Grows by this much with each image, measured on tensors that have memory."""
    from nanogen_core.assembly import Assembly

    parts = Assembly(resolve(combine(SMALL, {})))
    kept = [real_bytes(parts, images) for images in (2, 5)]
    assert small.activations == pytest.approx((kept[1] - kept[0]) / 3, rel=0.01)
    assert small.parameters == sum(p.numel() for p in parts["backbone"].parameters())


def real_bytes(parts, images):
    net, latent, spec = parts["backbone"], parts["latent"], parts["condition"]
    condition = Condition(torch.zeros(images, spec.length, spec.width), None, torch.zeros(images, dtype=torch.bool))
    storages = {p.untyped_storage().data_ptr() for p in net.parameters()}
    found = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in storages:
            found[storage.data_ptr()] = storage
        return tensor

    with torch.autocast("cpu", torch.bfloat16), torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        clean = State(torch.zeros(images, *latent.shape))
        losses = parts["objective"].loss({"student": net}, clean, condition, condition, KeyedRNG(0, range(images)))
    assert losses.total.requires_grad
    return sum(storage.nbytes() for storage in found.values())


def test_checkpointing_keeps_what_goes_into_blocks_and_the_inside_of_one(small):
    assert small.checkpointed < small.activations / 2
    assert small.copies >= 2 * small.parameters * 0.8  # bf16 copies of the matrices


class Inner(nn.Module):
    """A block of two layers, in a list or as attributes."""

    def __init__(self, listed):
        super().__init__()
        layers = [nn.Linear(8, 16), nn.Linear(16, 8)]
        self.listed = nn.ModuleList(layers) if listed else None
        if not listed:
            self.first, self.second = layers

    def forward(self, x):
        first, second = self.listed if self.listed is not None else (self.first, self.second)
        return x + second(first(x).tanh())


class Outer(nn.Module):
    def __init__(self, listed):
        super().__init__()
        self.blocks = nn.ModuleList([Inner(listed) for _ in range(3)])

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return x


def test_lists_inside_a_block_are_not_counted_again():
    measured = []
    for listed in (False, True):
        net = Outer(listed)
        with costs._SavedTensors(net).tracking() as saved:
            net(torch.ones(2, 8))
        measured.append((saved.total, saved.checkpointed))
    assert measured[0] == measured[1]


def test_the_cost_of_a_choice_is_the_mean_over_the_choices(small):
    configuration = resolve(combine({**SMALL, "method": "meanflow"}, {}))
    jumps = costs.cost_of(configuration, classes=10)
    assert costs.flops_of(configuration, classes=10) == jumps.flops
    assert 1.2 * small.flops < jumps.flops < 2.5 * small.flops  # a quarter of the steps has a second backward pass
    assert jumps.activations > 1.2 * small.activations


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([nn.Linear(8, 8, bias=False) for _ in range(3)])
        self.head = nn.Linear(8, 8, bias=False)


def test_the_state_of_an_optimiser_is_what_it_keeps():
    assert costs._state_bytes(AdamW(AdamWConfig()), Net()) == 8.0
    assert costs._state_bytes(Muon(MuonConfig()), Net()) == 3 / 4 * 4 + 1 / 4 * 8
    assert [type(block) for block in costs.blocks_of(Net())] == [nn.Linear] * 3


def test_memory_by_strategy():
    setting = Setting(gpus=4, gpu=GPU(memory=80, tflops=100))
    ddp, again, fsdp, both = plan_for(cost(), setting, batch_size=8, steps=10).memory
    assert ddp.weights == 1_000_000 * (4 + 4 + 4 + 8 + 4) + 2_000_000
    assert (ddp.activations, again.activations) == (20_000_000, 2_000_000)
    assert fsdp.weights == 1_000_000 * 20 / 4 + 2 * 100_000 * 6
    assert both.total == fsdp.weights + 2_000_000


def test_micro_batches_divide_the_activations():
    setting = Setting(gpus=4, gpu=GPU(memory=80, tflops=100))
    whole, parts = (plan_for(cost(), setting, batch_size=32, steps=10, grad_accum_steps=n) for n in (1, 4))
    assert [m.activations for m in parts.memory] == [m.activations / 4 for m in whole.memory]
    assert [m.weights for m in parts.memory] == [m.weights for m in whole.memory]
    assert (parts.compute_seconds, parts.figures["images_per_micro_batch"]) == (whole.compute_seconds, 2)
    with pytest.raises(TrainingError, match="8 examples per step, which cannot be split into 3 equal micro-batches"):
        plan_for(cost(), setting, batch_size=32, steps=10, grad_accum_steps=3)


def test_advice_to_accumulate_helps():
    large, setting = cost(activations=10**11, checkpointed=3 * 10**10), Setting(gpus=2, gpu=gpu_of("h100"))
    assert "raise train.grad_accum_steps" in plan_for(large, setting, batch_size=8, steps=1).first_limit
    fewer = plan_for(large, setting, batch_size=8, steps=1, grad_accum_steps=4)
    assert fewer.first_limit == "Memory: ddp, checkpointed is the simplest strategy that fits 1 image on one GPU."


def test_times_are_those_of_the_rates():
    setting = Setting(gpus=2, gpu=GPU(memory=80, tflops=100), utilisation=0.5, link=1.0)
    plan = plan_for(cost(), setting, batch_size=100, steps=864)
    assert plan.compute_seconds == pytest.approx(100 * 1e12 / (2 * 100e12 * 0.5))
    assert plan.transfer_seconds == pytest.approx(2 * 0.5 * 4e6 / 1e9)
    assert plan.figures["days"] == pytest.approx(864 / 86_400)
    assert plan.figures["tokens_per_second"] == pytest.approx(100 * 256)


@pytest.mark.parametrize(
    ("changes", "gpus", "sentence"),
    [
        ({}, 1, "None: DDP fits the batch"),
        (
            {"activations": 10**11, "checkpointed": 3 * 10**10},
            2,
            "Memory: no strategy fits 4 images on one GPU. Use more GPUs, or raise train.grad_accum_steps.",
        ),
        (
            {"activations": 10**11, "checkpointed": 10**11},
            2,
            "Memory: no strategy fits 4 images on one GPU. Use more GPUs, or use GPUs with more memory.",
        ),
        ({"activations": 10**11}, 2, "Memory: ddp, checkpointed is the simplest strategy that fits 4 images"),
        ({"flops": 1e6}, 8, "The network between GPUs: computing 1 image per GPU"),
    ],
)
def test_what_breaks_first_is_said(changes, gpus, sentence):
    plan = plan_for(cost(**changes), Setting(gpus=gpus, gpu=gpu_of("h100")), batch_size=8, steps=1)
    assert sentence in plan.first_limit


def test_wrong_machines_are_one_sentence():
    with pytest.raises(TrainingError, match="cannot be split equally over 3 processes"):
        plan_for(cost(), Setting(gpus=3, gpu=gpu_of("h100")), batch_size=8, steps=1)
    with pytest.raises(UnknownName, match="Unknown GPU 'h10'.*Did you mean 'h100'"):
        gpu_of("h10")


def test_the_command_prints_figures_for_people_and_programs(tmp_path):
    (tmp_path / "small.yaml").write_text(json.dumps({**SMALL, "train": {"batch_size": 64, "steps": 10}}))
    words = ["plan", str(tmp_path / "small.yaml"), "--gpus", "2"]
    shown = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert "First limit" in shown.output
    figures = json.loads(CliRunner().invoke(cli, [*words, "--json"], catch_exceptions=False).output)
    assert figures["images_per_gpu"] == 32
    divided = CliRunner().invoke(cli, [*words, "--set", "train.grad_accum_steps=4"], catch_exceptions=False)
    assert "2 GPUs, 32 images per GPU in 4 micro-batches of 8 images:" in divided.output
    assert next(entry["strategy"] for entry in figures["memory"]) == "ddp"


def test_the_tables_of_the_document_are_what_the_command_says():
    """`docs/scaling.md` names its command; one column of each kind is computed again."""
    text = DOCUMENT.read_text()
    command = re.search(r"nanogen plan (\S+) --gpus 64 --json", text)
    figures = json.loads(
        CliRunner().invoke(cli, ["plan", command[1], "--gpus", "64", "--json"], catch_exceptions=False).output
    )
    row = next(line for line in text.splitlines() if line.startswith("| 64 |"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    memory = {entry["strategy"]: f"{entry['total'] / 1024**3:.1f}" for entry in figures["memory"]}
    assert cells[2:6] == [memory[name] for name in ("ddp", "ddp, checkpointed", "fsdp", "fsdp, checkpointed")]
    assert cells[6] == f"{figures['compute_seconds_per_step']:.3f}"
    assert cells[7] == f"{figures['transfer_seconds_per_step']:.3f}"


# -- captions of given lengths -----------------------------------------------------------------------------------------


def texts(length):
    return resolve(
        combine({**SMALL, "task": "t2i"}, {"conditioner": {"length": length}, "encoder": {"max_length": 64}})
    )


def test_flops_of_shorter_captions_are_those_of_a_shorter_conditioner():
    counted = costs.cost_of(texts(64), classes=10, by_length=True)
    assert counted.flops_at(64) == pytest.approx(counted.flops, rel=1e-9)
    for length in (8, 40):
        assert counted.flops_at(length) == pytest.approx(costs.cost_of(texts(length), classes=10).flops, rel=1e-6)


def test_the_padded_length_of_a_batch_is_that_of_drawn_batches():
    lengths = CaptionLengths.parse("20-90")
    shares = lengths.of_batch(6, 64)
    assert sum(shares.values()) == pytest.approx(1)
    torch.manual_seed(0)
    longest = torch.randint(20, 91, (20_000, 6)).clamp(max=64).amax(dim=1)
    drawn = ((longest + 7) // 8 * 8).bincount(minlength=65) / 20_000
    assert {n: round(share, 2) for n, share in shares.items() if share > 0.005} == pytest.approx(
        {n: round(share, 2) for n, share in enumerate(drawn.tolist()) if share > 0.005}, abs=0.011
    )


def test_a_sample_of_lengths_counts_each_as_often_as_it_occurs():
    assert CaptionLengths.parse("40, 40,77").shares == pytest.approx({40: 2 / 3, 77: 1 / 3})
    assert CaptionLengths.parse("7-7").of_batch(4, 64) == {8: 1.0}


@pytest.mark.parametrize("text", ["", "0-5", "9-3", "x", "4,", "-3", "1-2-3", "10**9", "1-100001", "3.5"])
def test_other_lengths_are_refused(text):
    with pytest.raises(ConfigError, match=r"--caption-lengths .*: give a range of tokens such as 20-256"):
        CaptionLengths.parse(text)


def test_the_command_prints_both_figures(tmp_path):
    words = ["plan", "flux2-vae", "--set", "task=t2i", "--set", "backbone.size=tiny", "--gpus", "2"]
    words += ["--set", "train.batch_size=4", "--caption-lengths", "20-40", "--json"]
    ran = CliRunner().invoke(cli, words)
    assert ran.exit_code == 0, ran.output
    figures = json.loads(ran.output)
    assert figures["flops_per_image"] < 0.9 * figures["flops_per_image_padded"]
    plain = CliRunner().invoke(cli, [*words[:-3], "--json"])
    assert json.loads(plain.output)["flops_per_image"] == figures["flops_per_image_padded"]
    text = CliRunner().invoke(cli, words[:-1]).output
    (padded, unit) = re.search(r"(\S+) (\w)FLOPs per image if every caption had 256 tokens", text).groups()
    assert float(padded) * {"G": 1e9, "T": 1e12}[unit] == pytest.approx(figures["flops_per_image_padded"], rel=1e-3)


def test_the_text_of_a_small_network_shows_three_digits_of_every_quantity(tmp_path):
    config = tmp_path / "small.yaml"
    config.write_text(json.dumps(combine({**SMALL, "train": {"batch_size": 4}}, {})), encoding="utf-8")
    words = ["plan", str(config)]
    text = CliRunner().invoke(cli, words, catch_exceptions=False).output
    figures = json.loads(CliRunner().invoke(cli, [*words, "--json"]).output)
    sizes = {"MFLOPs": 1e6, "GFLOPs": 1e9, "µs": 1e-6, "ms": 1e-3, "KiB": 1024, "MiB": 1024**2}
    found = [float(number) * sizes[unit] for number, unit in re.findall(rf"([\d.]+) ({'|'.join(sizes)})", text)]
    memory = [entry[key] for entry in figures["memory"] for key in ("weights", "activations", "total")]
    names = ("flops_per_image", "flops_per_step", "compute_seconds_per_step")
    assert found == pytest.approx([*(figures[name] for name in names), *memory], rel=5e-3)


@pytest.mark.parametrize(
    ("value", "units", "text"),
    [
        (0.997e12, FLOPS, "0.997 TFLOPs"),
        (1.755e12, FLOPS, "1.755 TFLOPs"),
        (46.2e9, FLOPS, "46.20 GFLOPs"),
        (99e9, FLOPS, "99.00 GFLOPs"),
        (100e9, FLOPS, "0.100 TFLOPs"),
        (5312e18, FLOPS, "5,312.0 EFLOPs"),
        (13.7 * 1024**3, BYTES, "13.70 GiB"),
        (52.34 * 1024**2, BYTES, "52.34 MiB"),
        (0.0123, SECONDS, "12.30 ms"),
        (0, SECONDS, "0.000 µs"),
    ],
)
def test_a_unit_shows_three_significant_digits(value, units, text):
    assert quantity(value, units) == text


def test_labels_have_no_lengths():
    with pytest.raises(ConfigError, match="--caption-lengths needs captions"):
        costs.cost_of(resolve(combine(SMALL, {})), classes=10, by_length=True)
