"""Recomputes the outputs of a MeanFlow case. Needs nanogen-meanflow."""

from __future__ import annotations

import re
from collections.abc import Iterator

import torch
from torch import Tensor

from nanogen_core.randomness import KeyedRNG
from nanogen_core.sampling import Euler, velocity_field
from nanogen_core.settings import SamplerConfig
from nanogen_dit.published.layout import Network
from nanogen_files.structure import structure
from nanogen_meanflow.config import MeanFlowConfig
from nanogen_meanflow.meanflow import MeanFlow
from tests.parity.case import Case

SAMPLE = re.compile(r"sample_nfe(\d+)")
SETTINGS = ("omega", "kappa", "norm_p", "norm_eps", "t_eps")  # of the recorded loss


def outputs(case: Case) -> Iterator[tuple[str, Tensor]]:
    """Yield the guided target, du/dt, the loss with its gradient norm, and samples."""
    given = case.config.get("loss") or {}
    config = structure({name: given[name] for name in SETTINGS if name in given}, MeanFlowConfig, "loss")
    objective = MeanFlow(config, latent=case.published.architecture.latent)
    network = case.published.build(frozenset({"jvp"}))
    yield from _loss(case, objective, network)
    for name in filter(SAMPLE.fullmatch, case.outputs):
        yield name, _sample(case, objective, network, int(name.removeprefix("sample_nfe")))


def _loss(case: Case, objective: MeanFlow, network: Network) -> Iterator[tuple[str, Tensor]]:
    """The loss of the main head for each sample, and the gradient norm of the batch mean."""
    inputs = objective.make_inputs(network, case.clean, case.noise, case.times, case.condition, case.null)
    output = objective.evaluate(inputs, has_interval=True)
    weighted = objective.weighted(output.error)
    gradients = torch.autograd.grad(weighted.mean(), list(network.parameters()), allow_unused=True)
    yield "v_guided", output.target
    yield "du_dt", output.du_dt
    yield "loss_raw", output.error.detach()
    yield "loss_adaptive", weighted.detach()
    yield "grad_norm", torch.stack([g.norm() for g in gradients if g is not None]).norm()[None]


def _sample(case: Case, objective: MeanFlow, network: Network, steps: int) -> Tensor:
    velocity_fn = velocity_field(objective, network)
    return (
        Euler(SamplerConfig(steps=steps))
        .sample(objective, velocity_fn, case.noise, case.condition, steps, KeyedRNG(0, []))
        .latent
    )
