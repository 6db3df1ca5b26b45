"""The times of MeanFlow: one draw on flow steps (r = t), the larger and smaller of two on jump steps (r < t)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nanogen_core.randomness import KeyedRNG
from nanogen_core.specs import LatentSpec
from nanogen_core.tensors import Condition, Prediction, State, Times, per_sample
from nanogen_meanflow.config import MeanFlowConfig
from nanogen_meanflow.meanflow import MeanFlow
from tests.fidelity.measurement import Measurement
from tests.fidelity.recorded import read_facts

STEPS, ROWS = 1000, 100
LATENT = LatentSpec(channels=1, height=1, width=1)


class _Network(nn.Module):
    """A differentiable function of state and time."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(()))

    def forward(self, state: State, times: Times, condition: Condition) -> Prediction:
        return Prediction(state.map(lambda x: self.factor * x * per_sample(times.t, x)))


def measure(path: Path) -> Iterator[Measurement]:
    """Quantiles of the training times, and the fraction of flow steps."""
    case = read_facts(path)
    fraction = case["step_kind"]["flow_share"]
    for setting in case["settings"]:
        name = f"{setting['time_dist']} shift {setting['shift']:.3g}"
        steps = list(_steps(_objective(setting, fraction)))
        flow = [bool((times.r == times.t).all()) for times in steps]
        jump = [bool((times.r < times.t).all()) for times in steps]
        mixed = sum(not (one or other) for one, other in zip(flow, jump, strict=True))
        yield Measurement(f"{name}: steps of both kinds at once", float(mixed), 0.0)
        yield Measurement(
            f"{name}: fraction of flow steps", abs(sum(flow) / STEPS - fraction), _sampling(fraction, STEPS)
        )
        found = _times(steps, flow)
        for what, numbers in found.items():
            for p, quantile in zip(case["probabilities"], setting["quantiles"][what], strict=True):
                error = abs(float((numbers <= quantile).double().mean()) - p)
                yield Measurement(f"{name}: {what} at {p}", error, _sampling(p, len(numbers)) + 0.0025)
    yield Measurement("steps that differ between processes", float(_disagreements(case["settings"][0], fraction)), 0.0)


def _sampling(p: float, n: int) -> float:
    """Five standard errors of a fraction."""
    return 5 * (p * (1 - p) / n) ** 0.5


def _objective(setting: Mapping[str, Any], fraction: float) -> MeanFlow:
    """MeanFlow with the recorded distribution, without guidance, so that a step evaluates the network once."""
    kind, mean, std = setting["time_dist"].split("_")
    if kind != "logit-normal":
        raise ValueError(f"the time distribution must be logit-normal, got {kind!r}")
    options = {"time_mean": float(mean), "time_std": float(std), "shift": setting["shift"], "probability": 1 - fraction}
    return MeanFlow(MeanFlowConfig(kappa=0.0, **options), latent=LATENT)


def _steps(objective: MeanFlow, rows: range = range(ROWS)) -> Iterator[Times]:
    """The times of the forward pass of each training step."""
    net, clean = _Network(), State(torch.zeros(len(rows), *LATENT.shape))
    condition = Condition(torch.zeros(len(rows), 1, 1))
    for step in range(STEPS):
        losses = objective.loss({"student": net}, clean, condition, condition, KeyedRNG(0, rows, step=step))
        assert losses.forward_pass is not None
        yield losses.forward_pass.times


def _times(steps: list[Times], flow: list[bool]) -> dict[str, Tensor]:
    """All times of the flow steps and the jump steps, under the names of the fixture."""
    kinds = {kind: [times for times, one in zip(steps, flow, strict=True) if one == kind] for kind in (True, False)}
    jump_t, jump_r = (torch.cat([times[which] for times in kinds[False]]) for which in (0, 1))
    flow_t = torch.cat([times.t for times in kinds[True]])
    return {"flow_t": flow_t, "jump_t": jump_t, "jump_r": jump_r, "jump_h": jump_t - jump_r}


def _disagreements(setting: Mapping[str, Any], fraction: float) -> int:
    """Number of steps in which two processes, with different rows of the batch, take steps of different kinds."""
    pair = zip(*(_steps(_objective(setting, fraction), rows) for rows in (range(2), range(2, 4))), strict=True)
    return sum(bool((one.r < one.t).all()) != bool((other.r < other.t).all()) for one, other in pair)
