"""Recorded states, and images in the terminal."""

import io
from itertools import pairwise

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from rich.console import Console

from nanogen_app import recording, watched
from nanogen_app.states import RecordedState, decoded
from nanogen_app.terminal import half_blocks
from nanogen_core import Pipeline, build_pipeline
from nanogen_core.cli.sample import sample
from nanogen_core.registry import registry

from .conftest import SMALL, saved


def recorded(pipeline, request="apple", **options):
    states = []
    images = recording(pipeline, lambda state, steps: states.append(state)).generate(request, tensors=True, **options)
    return states, images


def euler(pipeline, steps, seed=0):
    """Euler's method by hand on the network of a pipeline without guidance: x -= dt v."""
    from nanogen_core.randomness import KeyedRNG
    from nanogen_core.sampling import velocity_field
    from nanogen_core.tensors import State, Times

    velocity = velocity_field(pipeline.objective, pipeline.backbone)
    condition = pipeline.conditioner.encode(pipeline.task.make_batch(["apple"]))
    x = KeyedRNG(seed, [0]).normal("sample.latent", pipeline.latent.shape)
    grid = pipeline.objective.grid(steps).float()
    found = [x]
    with torch.no_grad():
        for t, r in pairwise(grid):
            x = x - (t - r) * velocity(State(x), Times(t.reshape(1), t.reshape(1)), condition).value.latent
            found.append(x)
    return grid.tolist(), found


def test_the_states_are_those_of_eulers_method(by_class):
    pipeline = Pipeline.load(by_class)
    pipeline.backbone.eval()
    states, _ = recorded(pipeline, guidance=1.0, steps=4)
    times, latents = euler(pipeline, 4)
    assert [state.number for state in states] == [0, 1, 2, 3, 4]
    assert [state.time for state in states] == pytest.approx(times, abs=1e-7)
    for state, latent in zip(states, latents, strict=True):
        torch.testing.assert_close(state.latent, latent, rtol=0, atol=1e-5)


@pytest.mark.parametrize("sampler", sorted(registry().components["sampler"]))
def test_every_sampler_generates_the_same_images_and_reports_every_step(sampler, tmp_path):
    objective = {"consistency": "scm"}.get(sampler, "flow")  # this sampler needs an objective that jumps
    folder = saved(tmp_path, task="imagenet", objective=objective, sampler={"name": sampler, "steps": 5})
    pipeline = Pipeline.load(folder)
    plain = pipeline.generate(["apple", "dog"], seed=3, steps=5, tensors=True)
    states, images = recorded(pipeline, ["apple", "dog"], seed=3, steps=5)
    assert torch.equal(plain, images)
    assert [state.time for state in states] == sorted((s.time for s in states), reverse=True)
    assert (states[0].time, states[-1].time) == (1.0, 0.0)
    assert len(states) >= 6
    torch.testing.assert_close(decoded(pipeline, states[-1:]), plain[:1], rtol=0, atol=1e-5)


def test_heuns_prediction_is_replaced_by_the_state(by_class):
    """The state after one step of Heun's method is the end of a sampling run that stops there."""
    pipeline = Pipeline.load(by_class).reconfigured({"sampler": {"name": "heun"}})
    inputs = []

    class Spy:
        level = 9

        def wrap(self, velocity_fn, null):
            def spied(state, times, condition):
                inputs.append((times.numbers()[0], state.latent[:1].clone()))
                return velocity_fn(state, times, condition)

            return spied

    states, _ = recorded(pipeline, steps=3, guidance=Spy())
    last_at = dict(inputs)  # a later evaluation at the same time replaces the earlier one
    assert len(inputs) > len(last_at)
    assert all(torch.equal(state.latent, last_at[state.time]) for state in states[:-1])


def test_the_noise_of_edm_is_scaled_to_unit_variance():
    pipeline = build_pipeline({**SMALL, "task": "imagenet", "objective": "edm", "guidance": {"cfg": None}})
    states, _ = recorded(pipeline, steps=3)
    assert float(states[0].latent.std()) > 10  # sigma_max
    noise = states[0].latent / states[0].latent.std()
    expected = pipeline.tokenizer.decode(noise)
    torch.testing.assert_close(decoded(pipeline, states[:1]), expected.clamp(-1, 1), rtol=0, atol=0.2)


def test_half_blocks_have_the_colours_of_the_pixels():
    pixels = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [1, 2, 3]]], dtype=np.uint8)
    text = half_blocks(Image.fromarray(pixels), columns=10, rows=10)
    assert text.plain == "▀▀"
    assert [str(span.style) for span in text.spans] == ["#ff0000 on #0000ff", "#00ff00 on #010203"]


def test_a_large_image_fits_the_terminal():
    lines = half_blocks(Image.new("RGB", (256, 256)), columns=80, rows=20).plain.split("\n")
    assert (len(lines), {len(line) for line in lines}) == (20, {40})


def test_a_terminal_shows_the_image_and_a_pipe_gets_lines(by_class):
    pipeline = Pipeline.load(by_class)
    plain = pipeline.generate("apple", tensors=True)
    for terminal in (True, False):
        out = io.StringIO()
        console = Console(file=out, force_terminal=terminal, width=80, height=30, color_system="truecolor")
        assert torch.equal(watched(pipeline, console).generate("apple", tensors=True), plain)
        assert ("▀" in out.getvalue(), "\x1b" in out.getvalue()) == (terminal, terminal)
        assert "t = 0.000" in out.getvalue()


def test_sample_watch_prints_progress_and_writes_the_same_files(by_class, tmp_path):
    for folder, options in (("plain", []), ("watched", ["--watch"])):
        words = [str(by_class), "--label", "apple", "--count", "2", "--output", str(tmp_path / folder), *options]
        result = CliRunner().invoke(sample, words, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        assert ("t = 1.000" in result.output) == bool(options)
    for name in ("00000-apple.png", "00001-apple.png", "grid.png"):
        assert (tmp_path / "plain" / name).read_bytes() == (tmp_path / "watched" / name).read_bytes()


def test_a_state_has_the_seed_and_the_index_of_its_image(by_class):
    states, _ = recorded(Pipeline.load(by_class), ["apple"] * 3, seed=5, batch_size=2)
    assert {state.seed for state in states} == {5}
    assert {state.slot for state in states} == {0, 2}  # the first image of each batch
    assert isinstance(states[0], RecordedState)
