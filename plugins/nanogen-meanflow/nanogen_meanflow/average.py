"""What the objectives share whose network predicts the average velocity u over an interval of time.

`u(z_t, t, r) = 1/(t - r) * integral of v(z_s, s) ds from r to t`. Derived by t this is the MeanFlow identity
`v = u + (t - r) du/dt`: the right-hand side is learnt to be a velocity, with du/dt held constant.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from attrs import evolve
from torch import Tensor

from nanogen_core.errors import Incompatible
from nanogen_core.protocols import Field
from nanogen_core.randomness import Draws
from nanogen_core.specs import LatentSpec
from nanogen_core.tensors import Condition, Losses, Prediction, Seen, State, Times
from nanogen_flow.config import FlowConfig
from nanogen_flow.objective import Flow, interpolate
from nanogen_flow.times import logit_normal, shifted
from nanogen_meanflow.config import AverageConfig
from nanogen_meanflow.derivative import ROUTES, Point, Slope, compound
from nanogen_meanflow.question import Question
from nanogen_meanflow.refusals import TOKEN

Network = Callable[..., Prediction]  # (state, times, condition), a backbone or what stands in for it


class Jumps(NamedTuple):
    """Which samples of a step have r < t, and whether any can: else no derivative is taken."""

    rows: Tensor  # [B] bool
    possible: bool


class Answer(NamedTuple):
    """What came of a question."""

    seen: Seen
    target: Tensor  # [B, C, h, w], a velocity
    du_dt: Tensor  # [B, C, h, w]
    error: Tensor  # [B]: |V - target|^2, a sum over C, h, w


class AverageVelocity(ABC):
    """An objective on average velocities. Which velocity V is to be, and which one the path follows, are its parts'.

    `flow` is the path from data to noise, with its damped velocity; `prediction` is what the network gives.
    """

    def __init__(self, config: AverageConfig, prediction: str, *, latent: LatentSpec):
        if latent.token_width:
            raise Incompatible(TOKEN)
        self.config = config
        path = FlowConfig(prediction=prediction, shift=config.shift, sample_shift=1.0, t_eps=config.t_eps)
        self.flow = Flow(path, latent=latent)
        self.shift = self.flow.shift  # of the times: the option's, or the latent's where that is null
        self._derivative = ROUTES[config.derivative](config.difference)

    @abstractmethod
    def target(self, question: Question) -> Tensor:
        """The velocity [B, C, h, w] that V learns to be, without gradient; guidance is mixed into it."""

    @abstractmethod
    def tangent(self, question: Question, target: Tensor) -> Tensor:
        """The velocity [B, C, h, w] along which du/dt is taken, without gradient."""

    def loss(
        self, nets: Mapping[str, Network], clean: State, condition: Condition, null: Condition, rng: Draws
    ) -> Losses:
        """The batch mean of weighted errors: of V, and of each further head, which learns the plain velocity.

        `error` in the parts is the squared error of V, a mean over batch and latent.
        """
        jumps = self.jumps(rng)
        times, noise = self.times(rng, jumps.rows), self.flow.noise(rng)
        question = self.ask(nets["student"], clean, noise, times, self.told(condition, jumps.rows, rng), null)
        answer = self.answer(question, jumps.possible)
        losses = {"meanflow": self.weighted(answer.error).mean(), **self._heads(answer.seen, question.velocity)}
        parts = {**losses, "error": answer.error.mean() / clean.latent[0].numel()}
        total = torch.stack([*losses.values()]).sum()
        return Losses(total, {name: value.detach() for name, value in parts.items()}, answer.seen)

    def jumps(self, rng: Draws) -> Jumps:
        """Which samples have an interval of time: all of a step or none, or each by itself."""
        probability = self.config.probability
        if self.config.mix == "sample":
            return Jumps(rng.uniform("meanflow.jump") < probability, possible=probability > 0)
        jump = rng.shared_uniform("meanflow.jump") < probability
        return Jumps(torch.full((len(rng.slots),), jump, device=rng.device), possible=jump)

    def told(self, condition: Condition, jumps: Tensor, rng: Draws) -> Condition:
        """The condition with what the network is told of the guidance that it is to learn: here nothing."""
        return condition

    def ask(
        self, net: Network, clean: State, noise: State, times: Times, condition: Condition, null: Condition
    ) -> Question:
        """The question about the states at `times.t` between data and noise."""
        state = interpolate(clean, noise, times.t)
        velocity = self.flow.towards(clean, state, times.t).latent
        return Question(self._field(net), state, times, velocity, condition, null)

    def answer(self, question: Question, jumps: bool) -> Answer:
        """The network's answer with its derivative. Without `jumps` r = t in all samples, and V = u."""
        target, slope = self._over_intervals(question) if jumps else self._at_instants(question)
        state, (t, r), u = question.state, question.times, slope.prediction.value
        seen = Seen(state, question.times, slope.prediction, self.flow.guess(u, state, t))
        return Answer(seen, target, slope.du_dt, _squared(compound(slope, t - r), target))

    def weighted(self, error: Tensor) -> Tensor:
        """`error / (sg(error) + norm_eps)^norm_p`, sample by sample: [B]."""
        return error / (error.detach() + self.config.norm_eps) ** self.config.norm_p

    def times(self, rng: Draws, jumps: Tensor) -> Times:
        """Logit-normal times, shifted: an interval where `jumps` [B], an instant elsewhere."""
        normal = rng.normal("time", (2,))  # [B, 2]
        drawn = shifted(logit_normal(normal, self.config.time_mean, self.config.time_std), self.flow.shift)
        earlier, later = drawn.sort(dim=1).values.unbind(1)
        instant = later if self.config.flow_time == "maximum" else drawn[:, 0]
        return Times(torch.where(jumps, later, instant), torch.where(jumps, earlier, instant))

    def velocity(self, prediction: Prediction, state: State, times: Times) -> Prediction:
        """The prediction and those of its heads as average velocities over `times`."""
        return self.flow.velocity(prediction, state, times)

    def step(self, field: Field, state: State, times: Times, condition: Condition) -> State:
        """One jump from `times.t` to `times.r`: `x - (t - r) u(x, t, r)`."""
        return self.flow.step(field, state, times, condition)

    def grid(self, steps: int) -> Tensor:
        """Equal steps, without a shift: float64 [steps + 1], falling from 1 to 0."""
        return self.flow.grid(steps)

    def _over_intervals(self, question: Question) -> tuple[Tensor, Slope]:
        target = self.target(question)
        at = Point(question.state.latent, question.times.t, self.tangent(question, target))
        return target, self._derivative(question.along, at)

    def _at_instants(self, question: Question) -> tuple[Tensor, Slope]:
        """Where r = t the network's answer is its own velocity, which the target need not ask for again."""
        prediction = question.along(question.state.latent, question.times.t)
        own = prediction.value.latent.detach()
        return self.target(evolve(question, known=own)), Slope(prediction, torch.zeros_like(own))

    def _field(self, net: Network) -> Field:
        def field(state: State, times: Times, condition: Condition) -> Prediction:
            return self.velocity(net(state, times, condition), state, times)

        return field

    def _heads(self, seen: Seen, velocity: Tensor) -> dict[str, Tensor]:
        heads = seen.prediction.heads.items()
        losses = {name: self.weighted(_squared(head.latent, velocity)).mean() for name, head in heads}
        return {name: self.config.internal_weight * loss for name, loss in losses.items()}


def _squared(predicted: Tensor, target: Tensor) -> Tensor:
    """The sum of squared differences of each sample: [B]."""
    return (predicted - target).square().flatten(1).sum(dim=1)
