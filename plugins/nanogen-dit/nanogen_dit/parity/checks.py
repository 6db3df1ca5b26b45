"""What is computed anew for a case, and how far it is from what was recorded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from attrs import frozen
from torch import Tensor

from nanogen_align.config import InternalConfig
from nanogen_align.internal import Internal
from nanogen_core.guidance import ClassifierFree
from nanogen_core.protocols import Field
from nanogen_core.sampling import Euler, velocity_field
from nanogen_core.settings import ClassifierFreeConfig, SamplerConfig
from nanogen_dit.parity.case import Case
from nanogen_flow.config import PREDICTIONS, FlowConfig
from nanogen_flow.objective import Flow

LIMIT = 1e-4
MEANFLOW = "nanogen_meanflow"


@frozen
class Report:
    """The relative error max|ours - recorded| / max|recorded| of each output, by name, and those left out."""

    case: str
    errors: Mapping[str, float]
    waiting: tuple[str, ...]  # recorded outputs of a method whose plugin is not installed (MeanFlow)

    @property
    def largest(self) -> float:
        return max(self.errors.values())

    @property
    def holds(self) -> bool:
        return self.largest < LIMIT


def check_case(path: str | Path) -> Report:
    """Reads a case and computes every recorded output that the installed plugins can."""
    case = Case.read(path)
    ours = dict(_outputs(case))
    errors = {name: relative_error(x, case.outputs[name]) for name, x in ours.items() if name in case.outputs}
    return Report(case.name, errors, tuple(sorted(case.outputs.keys() - ours.keys())))


def relative_error(ours: Tensor, recorded: Tensor) -> float:
    """max|ours - recorded| / max|recorded|. NaN and a wrong shape count as infinite."""
    if ours.shape != recorded.shape or not ours.isfinite().all():
        return float("inf")
    return float((ours - recorded).abs().max() / recorded.abs().max())


def _outputs(case: Case) -> Iterator[tuple[str, Tensor]]:
    """Every output that can be computed, those that were not recorded too."""
    yield from _forward(case)
    yield from _average_velocity(case) if case.config.get("meanflow") else _flow(case)


def _flow(case: Case) -> Iterator[tuple[str, Tensor]]:
    for prediction in PREDICTIONS:
        yield from _losses(case, _objective(case, prediction), prediction)
        yield from _samples(case, _objective(case, prediction), prediction)


def _average_velocity(case: Case) -> Iterator[tuple[str, Tensor]]:
    """What the objective of another distribution computes; nothing where that is not installed."""
    if find_spec(MEANFLOW):
        yield from import_module("nanogen_dit.parity.average_velocity").outputs(case)


@torch.no_grad()
def _forward(case: Case) -> list[tuple[str, Tensor]]:
    taps = _repa_taps(case)
    prediction = case.network(case.state, case.times, case.condition, taps)
    found = {"model": prediction.value.latent, "u": prediction.value.latent, "cls": prediction.value.token}
    if "internal" in prediction.heads:
        found["base"] = prediction.heads["internal"].latent
    if taps:
        found["repa_tokens"] = _projected(case, [prediction.features[tap] for tap in taps])
    return [(name, x) for name, x in found.items() if name in case.outputs]


def _repa_taps(case: Case) -> tuple[str, ...]:
    if "repa_tokens" not in case.outputs:
        return ()
    tap = f"block.{case.config['config']['repa_layer_depth']}"
    return (f"{tap}.token", tap) if case.published.architecture.latent.token_width else (tap,)


def _projected(case: Case, tapped: list[Tensor]) -> Tensor:
    """REPA's projector, which belongs to the auxiliary loss, on the further token and the image tokens."""
    rows = torch.cat([x if x.ndim == 3 else x[:, None] for x in tapped], dim=1)  # [B, (1) + N, width]
    projector = case.published.beside
    return F.linear(rows, projector["repa_projector.weight"], projector["repa_projector.bias"])


def _losses(case: Case, objective: Flow, prediction: str) -> Iterator[tuple[str, Tensor]]:
    """The loss of the main head alone, and the gradient norm of its batch mean."""
    losses = objective.loss_at(case.network, case.clean, case.noise, case.inputs["t"], case.condition)
    parameters = list(case.network.parameters())
    gradients = torch.autograd.grad(losses.mean(), parameters, allow_unused=True)
    norm = torch.stack([g.norm() for g in gradients if g is not None]).norm()
    yield f"loss_{prediction}", losses.detach()
    yield f"grad_norm_{prediction}", norm[None]


def _samples(case: Case, objective: Flow, prediction: str) -> Iterator[tuple[str, Tensor]]:
    """Latents sampled without and with guidance, by the sampler and the guidance that users take."""
    if not case.config.get("sampling"):
        return
    field = velocity_field(objective, case.network)
    yield f"sample_{prediction}", _sample(case, objective, field)
    yield f"sample_cfg_{prediction}", _sample(case, objective, _guided(case, field))


def _sample(case: Case, objective: Flow, field: Field) -> Tensor:
    sampler = Euler(SamplerConfig(steps=case.config["sampling"]["steps"]))
    return sampler.sample(objective, field, case.noise, case.condition).latent


def _guided(case: Case, field: Field) -> Field:
    settings: Mapping[str, Any] = case.config["sampling"]
    if settings.get("ig"):
        field = Internal(InternalConfig(**_interval(settings["ig"]))).wrap(field, case.null)
    if settings.get("cfg"):
        field = ClassifierFree(ClassifierFreeConfig(**_interval(settings["cfg"]))).wrap(field, case.null)
    return field


def _interval(guidance: Mapping[str, float]) -> dict[str, float]:
    """Scale and closed interval of times; without one, guidance holds everywhere."""
    return {"t_min": 0.0, "t_max": 1.0, **guidance}


def _objective(case: Case, prediction: str) -> Flow:
    shift = (case.config.get("sampling") or {}).get("time_shift")
    config = FlowConfig(prediction=prediction, sample_shift=shift)
    return Flow(config, latent=case.published.architecture.latent)
