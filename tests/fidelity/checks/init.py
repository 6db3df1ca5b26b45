"""Initial weights: every parameter of several constructions has the published kind, scale and bias."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nanogen_align.config import RepaConfig
from nanogen_align.projectors import PROJECTORS
from nanogen_core.specs import ConditionSpec, LatentSpec
from nanogen_dit.published import export_published
from nanogen_dit.published.importer import NETWORKS
from nanogen_dit.published.layout import Network, entries
from nanogen_files.structure import structure
from tests.fidelity.measurement import Measurement
from tests.fidelity.recorded import read_facts

BACKBONES = {"lightning_dit": "lightning-dit", "ddt": "ddt"}
SPREAD = {"normal": 0.5, "uniform": 0.45}  # n times the relative variance of a standard deviation of n values
OUTSIDE = math.erfc(math.sqrt(3 / 2))  # fraction of a normal distribution beyond sqrt(3), the bound of a uniform one
TRUNK = {"hidden_size": "hidden", "depth": "depth", "num_heads": "heads"}  # published option -> ours


def measure(path: Path) -> Iterator[Measurement]:
    """Measure every parameter of every variant and size, pooled over several constructions."""
    recorded = read_facts(path)
    for variant, facts in recorded["variants"].items():
        for size, numbers in recorded["sizes"].items():
            options = {name: _number(value, numbers) for name, value in facts["options"].items()}
            drawn, trained = _constructions(BACKBONES[recorded["family"]], numbers, options, recorded["constructions"])
            parameters = facts["parameters"]
            expected = {name for name, parameter in parameters.items() if parameter.get("trained", True)}
            yield Measurement(f"{variant} {size}: names", len(drawn.keys() ^ parameters.keys()), 0)
            yield Measurement(f"{variant} {size}: names of trained ones", len(trained ^ expected), 0)
            for name in drawn.keys() & parameters.keys():
                facts_here = {**parameters[name], **parameters[name][size]}
                yield from _measured(f"{variant} {size}: {name}", drawn[name], facts_here)


def _measured(name: str, values: Tensor, facts: Mapping[str, Any]) -> Iterator[Measurement]:
    """Compare `values` [constructions, ...] of one parameter with its published distribution."""
    yield Measurement(f"{name} shape", 0 if list(values.shape[1:]) == facts["shape"] else math.inf, 0)
    kind = facts["kind"]
    if kind in ("zeros", "ones"):
        yield Measurement(name, float((values - float(kind == "ones")).abs().max()), 0)
        return
    count, values = values.numel(), values.double()
    std = facts["std"] if kind == "normal" else facts["bound"] / math.sqrt(3)
    error = abs(float(values.std(correction=0)) / std - 1)
    yield Measurement(f"{name} std", error, 5 * math.sqrt(SPREAD[kind] / count) + 0.001)
    yield Measurement(f"{name} mean", abs(float(values.mean())) / std, 5 / math.sqrt(count))
    if kind == "uniform":
        yield Measurement(f"{name} bound", max(0.0, float(values.abs().max()) / facts["bound"] - 1), 1e-6)
    else:
        outside = float((values.abs() > math.sqrt(3) * std).double().mean())
        yield Measurement(f"{name} tails", abs(outside - OUTSIDE), 5 * math.sqrt(OUTSIDE * (1 - OUTSIDE) / count))


def _constructions(
    backbone: str, numbers: Mapping[str, Any], options: Mapping[str, Any], count: int
) -> tuple[dict[str, Tensor], set[str]]:
    """All parameters [count, ...] by published name, and the names of the trained ones."""
    drawn: dict[str, list[Tensor]] = {}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for _ in range(count):
            network = _network(backbone, numbers, options)
            tensors = export_published(network, tables=False) | _projector(network, numbers, options)
            for name, tensor in tensors.items():
                drawn.setdefault(name, []).append(tensor.detach())
    learned = dict(network.named_parameters())
    trained = {name for entry in entries(network) if entry.ours in learned for name in entry.theirs}
    trained |= {name for name in drawn if name.startswith("repa_projector.")}
    return {name: torch.stack(tensors) for name, tensors in drawn.items()}, trained


def _network(backbone: str, numbers: Mapping[str, Any], options: Mapping[str, Any]) -> Network:
    """A network with the default initial weights."""
    network, config = NETWORKS[backbone]
    given = numbers["net"]
    settings = {"patch_size": _first(given["patch_size"]), "time_tokens": numbers["T"]}
    for theirs, ours in TRUNK.items():
        settings[ours] = _first(given[theirs])
        if backbone == "ddt":
            settings[f"decoder_{ours}"] = given[theirs][1]
    if "base_model_depth" in options:
        settings["internal_head_depth"] = options["base_model_depth"]
    token = options["z_dim"] if options.get("enable_reg") else 0
    side = given["input_size"]
    condition = ConditionSpec(width=given["num_classes"] + 1, length=1, learned=numbers["Cn"])
    if options.get("condition_type") == "text":
        condition = ConditionSpec(width=options["context_dim"], length=numbers["L"], normalize=True, padded=True)
    built: Network = network(
        structure(settings, config, "backbone"),
        latent=LatentSpec(given["in_channels"], side, side, cls_token_width=token),
        condition=condition,
        wanted=frozenset({"two-time"} if options.get("is_meanflow") else ()),
    )
    return built


def _projector(network: Network, numbers: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Tensor]:
    """The parameters of REPA's projector."""
    if not options.get("enable_repa"):
        return {}
    config = RepaConfig()
    projector = PROJECTORS[config.projector](config, network.encoder.trunk.hidden, options["z_dim"])
    return {f"repa_projector.{name}": tensor for name, tensor in projector.named_parameters()}


def _number(value: Any, numbers: Mapping[str, Any]) -> Any:
    """The value of an option. A letter is the key of a number of the size."""
    return numbers.get(value, value) if isinstance(value, str) else value


def _first(value: Any) -> int:
    """Published pairs are (encoder, decoder), or (rows, columns) of a square patch."""
    return int(value[0] if isinstance(value, list) else value)
