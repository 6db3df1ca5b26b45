"""Losses and gradient norms of a recorded case, by the library's objective and auxiliary losses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from nanogen_align.config import RepaConfig
from nanogen_align.distances import DISTANCES
from nanogen_core.tensors import Condition, ForwardPass, where_null
from nanogen_flow.objective import Flow
from tests.parity.case import Case


def losses(case: Case, objective: Flow, prediction: str) -> Iterator[tuple[str, Tensor]]:
    """Yield the recorded losses: `loss_*` [B] of the latent with the gradient norm of the mean, the same with dropped
    conditions, and `loss_total_*` with its terms if the case has auxiliary losses."""
    network = list(case.network.parameters())
    yield from _latent_alone(case, objective, case.condition, prediction, network)
    if "dropped" in case.inputs:
        condition = where_null(case.inputs["dropped"].bool(), case.condition, case.null)
        yield from _latent_alone(case, objective, condition, f"dropped_{prediction}", network)
    if any(f"loss_{term}_{prediction}" in case.outputs for term in ("reg", "repa", "total")):
        yield from _with_auxiliaries(case, objective, prediction, network)


def gradient_norm(loss: Tensor, parameters: Sequence[Tensor]) -> Tensor:
    """Return the global norm of all gradients: [1]."""
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    return torch.stack([g.norm() for g in gradients if g is not None]).norm()[None]


def _latent_alone(
    case: Case, objective: Flow, condition: Condition, name: str, parameters: Sequence[Tensor]
) -> Iterator[tuple[str, Tensor]]:
    values = objective.loss_at(case.network, case.clean, case.noise, case.inputs["t"], condition)
    yield f"loss_{name}", values.detach()
    yield f"grad_norm_{name}", gradient_norm(values.mean(), parameters)


def _with_auxiliaries(
    case: Case, objective: Flow, prediction: str, network: Sequence[Tensor]
) -> Iterator[tuple[str, Tensor]]:
    """The weighted losses of REG and REPA, the total loss, and its gradient norm over all trained parameters."""
    projector = case.projector
    network_with_features = partial(case.network, intermediates=case.repa_intermediates)
    forward_pass = objective.forward_at(network_with_features, case.clean, case.noise, case.inputs["t"], case.condition)
    errors = objective.errors(forward_pass, case.clean)
    terms = {}
    if "cls_token" in errors:
        terms["reg"] = objective.config.cls_token_weight * errors["cls_token"].mean()
    if projector is not None:
        terms["repa"] = _repa(case, projector, forward_pass)
    total = torch.stack([errors["flow"].mean(), *terms.values()]).sum()
    for name, value in {**terms, "total": total}.items():
        yield f"loss_{name}_{prediction}", value.detach()[None]
    trained = [*network, *(projector.parameters() if projector is not None else ())]
    yield f"grad_norm_total_{prediction}", gradient_norm(total, trained)


def _repa(case: Case, projector: nn.Module, forward_pass: ForwardPass) -> Tensor:
    """The weighted loss of REPA in its published form."""
    config, weight = RepaConfig(), case.config.get("repa_coeff")
    distance = DISTANCES[config.distance](
        case.repa_tokens(projector, forward_pass.prediction), case.inputs["repa_target"]
    )
    return (config.weight if weight is None else weight) * distance
