"""Recomputes the outputs of a case and measures their errors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from attrs import frozen
from torch import Tensor

from nanogen_align.config import InternalConfig
from nanogen_align.internal import Internal
from nanogen_core.guidance import ClassifierFree
from nanogen_core.protocols import VelocityFn
from nanogen_core.randomness import KeyedRNG
from nanogen_core.sampling import Euler, velocity_field
from nanogen_core.settings import ClassifierFreeConfig, SamplerConfig
from nanogen_flow.config import PREDICTIONS, FlowConfig
from nanogen_flow.objective import Flow
from tests.parity.case import Case
from tests.parity.losses import losses

LIMIT = 1e-4
MEANFLOW = "nanogen_meanflow"


@frozen
class Report:
    """Relative errors `max|ours - recorded| / max|recorded|` of a case by output, and the outputs without one."""

    case: str
    errors: Mapping[str, float]
    waiting: tuple[str, ...] = ()  # recorded outputs of a method whose plugin is not installed (MeanFlow)
    missing: tuple[str, ...] = ()  # recorded outputs that are not computed: the case fails
    lacking: tuple[str, ...] = ()  # outputs that are not recorded but should be: the case fails

    @property
    def largest(self) -> float:
        return float("inf") if self.missing or self.lacking else max(self.errors.values())

    @property
    def holds(self) -> bool:
        return self.largest < LIMIT


def check_case(path: str | Path) -> Report:
    """Read a case and compute every recorded output that the installed plugins support."""
    case = Case.read(path)
    ours = dict(_outputs(case))
    errors = {name: relative_error(x, case.outputs[name]) for name, x in ours.items() if name in case.outputs}
    left_out = tuple(sorted(case.outputs.keys() - ours.keys()))
    is_waiting = case.config.get("meanflow") and not find_spec(MEANFLOW)
    waiting, missing = (left_out, ()) if is_waiting else ((), left_out)
    return Report(case.name, errors, waiting, missing, lacking=tuple(sorted(ours.keys() - case.outputs.keys())))


def relative_error(ours: Tensor, recorded: Tensor) -> float:
    """Return `max|ours - recorded| / max|recorded|`, infinity for NaN or a wrong shape."""
    if ours.shape != recorded.shape or not ours.isfinite().all():
        return float("inf")
    difference, largest = float((ours - recorded).abs().max()), float(recorded.abs().max())
    if largest == 0:
        return 0.0 if difference == 0 else float("inf")
    return difference / largest


def _outputs(case: Case) -> Iterator[tuple[str, Tensor]]:
    """The outputs that a case of this configuration has."""
    yield from _forward(case)
    yield from _average_velocity(case) if case.config.get("meanflow") else _flow(case)


def _flow(case: Case) -> Iterator[tuple[str, Tensor]]:
    recorded = [p for p in PREDICTIONS if any(name.endswith(f"_{p}") for name in case.outputs)]
    for prediction in recorded or PREDICTIONS:
        yield from losses(case, _objective(case, prediction), prediction)
        yield from _samples(case, _objective(case, prediction), prediction)


def _average_velocity(case: Case) -> Iterator[tuple[str, Tensor]]:
    """The outputs of MeanFlow, if nanogen-meanflow is installed."""
    if find_spec(MEANFLOW):
        yield from import_module("tests.parity.average_velocity").outputs(case)


@torch.no_grad()
def _forward(case: Case) -> list[tuple[str, Tensor]]:
    prediction = case.network(case.state, case.times, case.condition, case.repa_intermediates)
    found = {"model": prediction.value.latent}
    if case.config.get("meanflow"):
        found["u"] = prediction.value.latent
    if prediction.value.cls_token is not None:
        found["cls"] = prediction.value.cls_token
    if "internal" in prediction.heads:
        found["base"] = prediction.heads["internal"].latent
    if case.projector is not None:
        found["repa_tokens"] = case.repa_tokens(case.projector, prediction)
    if "dropped" in case.inputs:
        found["model_null"] = case.network(case.state, case.times, case.null).value.latent
    return list(found.items())


def _samples(case: Case, objective: Flow, prediction: str) -> Iterator[tuple[str, Tensor]]:
    """Latents sampled without and with guidance, by the library's sampler and guidance."""
    if not case.config.get("sampling"):
        return
    velocity_fn = velocity_field(objective, case.network)
    yield f"sample_{prediction}", _sample(case, objective, velocity_fn)
    if any(case.config["sampling"].get(guidance) for guidance in ("cfg", "ig")):
        yield f"sample_cfg_{prediction}", _sample(case, objective, _guided(case, velocity_fn))


def _sample(case: Case, objective: Flow, velocity_fn: VelocityFn) -> Tensor:
    sampler = Euler(SamplerConfig(steps=case.config["sampling"]["steps"]))
    return sampler.sample(objective, velocity_fn, case.noise, case.condition, sampler.steps, KeyedRNG(0, [])).latent


def _guided(case: Case, velocity_fn: VelocityFn) -> VelocityFn:
    settings: Mapping[str, Any] = case.config["sampling"]
    if settings.get("ig"):
        velocity_fn = Internal(InternalConfig(**_interval(settings["ig"]))).wrap(velocity_fn, case.null)
    if settings.get("cfg"):
        velocity_fn = ClassifierFree(ClassifierFreeConfig(**_interval(settings["cfg"]))).wrap(velocity_fn, case.null)
    return velocity_fn


def _interval(guidance: Mapping[str, float]) -> dict[str, float]:
    """Scale and interval of times, [0, 1] by default."""
    return {"t_min": 0.0, "t_max": 1.0, **guidance}


def _objective(case: Case, prediction: str) -> Flow:
    shift = (case.config.get("sampling") or {}).get("time_shift")
    weight = {"cls_token_weight": case.config["reg_coeff"]} if case.config.get("reg_coeff") is not None else {}
    config = FlowConfig(prediction=prediction, sample_shift=shift, **weight)
    return Flow(config, latent=case.published.architecture.latent)
