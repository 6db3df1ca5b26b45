"""Fixtures of other sizes and seeds. Expected values are computed here in float64 from the equations."""

import json
import math

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from tests.fidelity.__main__ import FIXTURES, VARIABLE, main


@pytest.fixture
def holds(tmp_path, monkeypatch):
    """Write a fixture and return whether `make fidelity` accepts it."""
    monkeypatch.setenv(VARIABLE, str(tmp_path))

    def run(name, facts, tensors=None):
        (tmp_path / f"{name}.json").write_text(json.dumps(facts))
        if tensors:
            save_file(tensors, tmp_path / f"{name}.safetensors")
        return main([]) == 0

    return run


def recorded(name):
    return json.loads((FIXTURES / f"{name}.json").read_text())


def rate(step, epoch, steps):
    """Warm-up from 1 / epoch of the base, then a cosine from 2e-4 to 2e-5 at the last step."""
    if step < epoch:
        return 2e-4 * (step + 1) / epoch
    return 2e-5 + 1.8e-4 * (1 + math.cos(math.pi * (step - epoch) / (steps - epoch))) / 2


def schedule(epoch):
    steps = 16 * epoch
    rates = [rate(step, epoch, steps) for step in range(steps)]
    discriminator = {"first_step": 6 * epoch, "rates": rates[: 10 * epoch]}
    starts = {"steps_per_epoch": epoch, "adversarial_loss_from_step": 8 * epoch}
    return {**recorded("stage1_schedule"), **starts, "generator": rates, "discriminator": discriminator}


def test_the_equation_of_the_rates_is_the_recorded_one():
    facts = recorded("stage1_schedule")
    assert schedule(10)["generator"] == pytest.approx(facts["generator"], rel=1e-6)
    assert schedule(10)["discriminator"]["rates"] == pytest.approx(facts["discriminator"]["rates"], rel=1e-6)


@pytest.mark.parametrize("epoch", [7, 25])
def test_schedules_of_other_epochs(epoch, holds):
    facts = schedule(epoch)
    assert holds("stage1_schedule", facts)
    facts["discriminator"]["rates"][-1] *= 1 + 1e-5
    assert not holds("stage1_schedule", facts)


@pytest.mark.parametrize(("scale", "other"), [(1.0, 1.0), (3.0, 1e-9), (1e-3, 2.0), (2.0, 0.0)])
def test_losses_of_other_sizes(scale, other, holds):
    torch.manual_seed(5)
    real, fake, first, second = (
        torch.randn(3, 7),
        torch.randn(3, 7),
        torch.randn(5, 11) * scale,
        torch.randn(5, 11) * other,
    )
    weight = min(float(first.double().norm()) / (float(second.double().norm()) + 1e-6), 1e4)
    hinge = 0.5 * float((1 - real.double()).clamp(min=0).mean() + (1 + fake.double()).clamp(min=0).mean())
    facts = {
        **recorded("stage1_losses"),
        "logits": [{"case": 0, "discriminator": hinge, "generator": -float(fake.double().mean())}],
        "weights": [{"case": "w", "adaptive_weight": weight, "factor_of_the_adversarial_loss": 0.75 * weight}],
    }
    tensors = {
        "in.0.logits_real": real,
        "in.0.logits_fake": fake,
        "in.w.reconstruction_gradient": first,
        "in.w.adversarial_gradient": second,
    }
    assert holds("stage1_losses", facts, tensors)
    facts["weights"][0]["adaptive_weight"] *= 1 + 1e-4
    assert not holds("stage1_losses", facts, tensors)


def convolution(state, name, x):
    """A convolution with spectral normalisation: the weight is divided by u . W v."""
    weight, u, v = (state[f"{name}.weight_{part}"].double() for part in ("orig", "u", "v"))
    return F.conv1d(x, weight / (u @ weight.flatten(1) @ v), state[f"{name}.bias"].double())


def normed(state, name, x):
    """Instance normalisation: each image and channel has its own mean and variance."""
    centred = x - x.mean(2, keepdim=True)
    scaled = centred / (centred.square().mean(2, keepdim=True) + 1e-6).sqrt()
    return scaled * state[f"{name}.weight"].double()[:, None] + state[f"{name}.bias"].double()[:, None]


def logits(state, levels, kernel):
    found = []
    for number, level in enumerate(levels):
        head = f"heads.{number}"
        x = F.leaky_relu(normed(state, f"{head}.0.1", convolution(state, f"{head}.0.0", level.double())), 0.2)
        wide = torch.cat([x[..., -(kernel // 2) :], x, x[..., : kernel // 2]], dim=-1)
        y = F.leaky_relu(normed(state, f"{head}.1.fn.1", convolution(state, f"{head}.1.fn.0", wide)), 0.2)
        found.append(convolution(state, f"{head}.2", (x + y) / math.sqrt(2))[:, 0])
    return torch.cat(found, dim=1).float()


def state_of(channels, kernel, count):
    """Random weights with the recorded names of the heads."""
    shapes = {
        "0.0": (channels, channels, 1),
        "1.fn.0": (channels, channels, kernel),
        "2": (1, channels, 1),
    }
    state = {}
    for head in (f"heads.{number}" for number in range(count)):
        for name, shape in shapes.items():
            state[f"{head}.{name}.weight_orig"] = torch.randn(shape)
            state[f"{head}.{name}.bias"] = torch.randn(shape[0])
            state[f"{head}.{name}.weight_u"] = F.normalize(torch.randn(shape[0]), dim=0)
            state[f"{head}.{name}.weight_v"] = F.normalize(torch.randn(shape[1] * shape[2]), dim=0)
        for name in ("0.1", "1.fn.1"):
            state |= {f"{head}.{name}.{part}": torch.randn(channels) for part in ("weight", "bias")}
    return state


def test_the_equation_of_the_heads_is_the_recorded_one():
    found = load_file(FIXTURES / "stage1_heads.safetensors")
    state = {name.removeprefix("disc."): x for name, x in found.items() if name.startswith("disc.")}
    assert state_of(12, 9, 5).keys() == state.keys()
    ours = logits(state, [found[f"in.level_{number}"] for number in range(5)], 9)
    torch.testing.assert_close(ours, found["out.logits"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("channels", "kernel", "count", "tokens"), [(7, 5, 3, 25), (16, 9, 5, 9)])
def test_heads_of_other_sizes(channels, kernel, count, tokens, holds):
    torch.manual_seed(channels)
    state, levels = state_of(channels, kernel, count), [torch.randn(4, channels, tokens) for _ in range(count)]
    tensors = {f"disc.{name}": x for name, x in state.items()}
    tensors |= {f"in.level_{number}": x for number, x in enumerate(levels)}
    tensors["out.logits"] = logits(state, levels, kernel)
    tensors["out.norm_of_level_0"] = normed(state, "heads.0.0.1", levels[0].double()).float()
    assert holds("stage1_heads", {"kernel": kernel, "levels": count}, tensors)
    assert not holds(
        "stage1_heads", {"kernel": kernel, "levels": count}, tensors | {"out.logits": tensors["out.logits"] * 1.001}
    )
