"""Records the states of a sampler on the way from noise to image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import hypot

import torch
from attrs import field, frozen
from torch import Tensor

from nanogen_core.eval_mode import eval_mode
from nanogen_core.pipeline import Pipeline
from nanogen_core.protocols import Objective, Sampler, VelocityFn
from nanogen_core.randomness import KeyedRNG
from nanogen_core.tensors import Condition, Prediction, State, Times


@frozen
class RecordedState:
    """The state of the first image of a batch at one time.

    Args:
        number: 0 for the noise, then 1, 2, ...
        time: t from 1 (noise) to 0 (data).
        latent: x_t, [1, C, h, w].
        seed: Seed of the image.
        slot: Index of the image in the request.
    """

    number: int
    time: float
    latent: Tensor = field(repr=False)
    seed: int
    slot: int


Listener = Callable[[RecordedState, int], None]  # called with the state and the number of steps


def recording(pipeline: Pipeline, listener: Listener) -> Pipeline:
    """Return a pipeline that generates the same images and reports the states to `listener` while it samples.

    The reported states are those at which the sampler evaluates the velocity, and the final one. Of consecutive states
    at the same time only the last is reported: Heun's method evaluates a predicted state first, then the corrected one.

    Example:
        `recording(pipeline, lambda state, steps: print(state.time)).generate("apple")`
    """
    return pipeline.with_parts(sampler=_RecordingSampler(pipeline.sampler, listener))


class _RecordingSampler:
    """A sampler that runs another one and reports its states."""

    def __init__(self, sampler: Sampler, listener: Listener):
        self._sampler, self._listener, self.steps = sampler, listener, sampler.steps

    def sample(
        self,
        objective: Objective,
        velocity_fn: VelocityFn,
        noise: State,
        condition: Condition,
        steps: int,
        rng: KeyedRNG,
    ) -> State:
        """Return the state that the recorded sampler reaches at t = 0."""
        number, last = 0, (1.0, noise)

        def report() -> None:
            time, state = last
            latent = state.latent[:1].detach().clone()
            self._listener(RecordedState(number, time, latent, rng.seed, rng.slots[0]), steps)

        def observed(state: State, times: Times, condition: Condition) -> Prediction:
            nonlocal number, last
            time = times.numbers()[0]
            if time != last[0]:
                report()
                number += 1
            last = (time, state)
            return velocity_fn(state, times, condition)

        final = self._sampler.sample(objective, observed, noise, condition, steps, rng)
        report()
        number, last = number + 1, (0.0, final)
        report()
        return final


@torch.no_grad()
def decoded(pipeline: Pipeline, states: Sequence[RecordedState]) -> Tensor:
    """Decode states to images [n, 3, H, W] in [-1, 1].

    A state is a * clean + s * noise. It is divided by max(1, sqrt(a^2 + s^2)). Flow-matching states stay unchanged.
    EDM states get the scale of data, which decoders expect.
    """
    latents = [state.latent / _scale(pipeline.objective, state) for state in states]
    rngs = [KeyedRNG(state.seed, [state.slot]) for state in states]
    with eval_mode(pipeline.tokenizer):
        images = [pipeline.tokenizer.decode(latent, rng).float() for latent, rng in zip(latents, rngs, strict=True)]
    return torch.cat(images).clamp(-1, 1)


def _scale(objective: Objective, state: RecordedState) -> float:
    """Return max(1, sqrt(a^2 + s^2)) at the time of a state."""
    zero, one = State(torch.zeros_like(state.latent)), State(torch.ones_like(state.latent))
    time = torch.full((1,), state.time, device=state.latent.device)
    a, s = (objective.interpolate(*ends, time).latent.mean().item() for ends in ((one, zero), (zero, one)))
    return max(1.0, hypot(a, s))
