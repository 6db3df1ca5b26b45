"""A published checkpoint as one of our networks, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from attrs import field, frozen
from torch import Tensor

from nanogen_core.errors import DataError
from nanogen_core.specs import ConditionSpec, LatentSpec
from nanogen_dit.config import DDTConfig, LightningDiTConfig
from nanogen_dit.ddt import DDT
from nanogen_dit.description import network_part
from nanogen_dit.lightning_dit import LightningDiT
from nanogen_dit.published.architecture import Architecture, infer
from nanogen_dit.published.configuration import hints, parse, translate
from nanogen_dit.published.conflicts import conflicts
from nanogen_dit.published.files import network_in
from nanogen_dit.published.layout import Network, entries, rope_tables
from nanogen_files.structure import structure
from nanogen_import import Undecided, WeightsFile, read_weights

SHOWN = 4  # names in an error
NETWORKS: Mapping[str, tuple[Any, Any]] = {"lightning-dit": (LightningDiT, LightningDiTConfig), "ddt": (DDT, DDTConfig)}


UNDECIDED = (
    Undecided("tokenizer", "tokenizer", ("preset", "encoder", "path")),
    Undecided("prediction", "objective", ("prediction",), by_method=True),
    Undecided("shift", "objective", ("shift", "sample_shift"), by_method=True, null=True),
    Undecided("guidance", "guidance"),
)


@frozen
class Published:
    """A checkpoint of the published layout, read and checked."""

    architecture: Architecture
    state: Mapping[str, Tensor]  # of our module, float32
    beside: Mapping[str, Tensor]  # tensors of the file that belong to an auxiliary loss (REPA's projector)
    meta: Mapping[str, Any]  # plain values of the file: step, epoch ...
    weights: str | None = None  # the set of weights that was taken; None: the only one, without a name
    configured: Mapping[str, Any] = field(factory=dict)  # what the published configuration decides

    configured_by = None  # the published configuration
    hint = ""
    structural = frozenset({"two-time", "cfg-conditioned", "cls-token", "internal-head"})

    @property
    def latent(self) -> LatentSpec:
        """The latent that it was trained on; how many pixels a cell stands for is the tokenizer's to say."""
        return self.architecture.latent

    @property
    def condition(self) -> ConditionSpec:
        return self.architecture.condition

    @property
    def wanted(self) -> frozenset[str]:
        return self.architecture.wanted

    @property
    def suggested(self) -> Mapping[str, Any]:
        """The part of a configuration that the tensors decide: the backbone, and the task by its condition."""
        backbone = {"backbone": {"name": self.backbone, **self.settings}}
        if self.condition.padded:  # only texts are
            return {"task": "t2i", **backbone}
        conditioner = {"name": "label", "learned": self.condition.learned}
        return {"task": "imagenet", "conditioner": conditioner, **backbone}

    @property
    def undecided(self) -> Sequence[Undecided]:
        """Pixels and latents look alike, and so do predictions of the velocity and of the data."""
        return UNDECIDED

    @property
    def notes(self) -> Sequence[str]:
        left = f"left out {', '.join(sorted(self.beside))}, which belong to REPA's loss" if self.beside else ""
        return [left] if left else []

    def conflicts(self, configuration: Mapping[str, Any]) -> list[str]:
        """Compare a configuration's backbone with the file: a few words for each option that differs."""
        return conflicts(self.architecture, configuration.get("backbone", {}), NETWORKS[self.backbone][1])

    @property
    def backbone(self) -> str:
        """The name of the component."""
        return self.architecture.backbone

    @property
    def settings(self) -> Mapping[str, Any]:
        """The component's options, for a configuration file."""
        return self.architecture.settings

    def build(self, wanted: frozenset[str] = frozenset()) -> Network:
        """The network with its weights; `wanted` are further capability words, such as `jvp`."""
        network = _network(self.architecture, wanted)
        network.load_state_dict(dict(self.state))
        return network


def read_published(path: str | Path, config: Mapping[str, Any] | None = None, weights: str = "ema") -> Published:
    """Read a checkpoint file with the JSON configuration beside it, if any; see `read_checkpoint` and `infer`.

    Raises DataError in one sentence for a file that cannot be read, or whose names or shapes are not the layout's.
    """
    return from_weights(read_weights(path), weights=weights, architecture=config)


def from_weights(
    file: WeightsFile,
    *,
    weights: str = "ema",
    architecture: Mapping[str, Any] | None = None,
    configuration: Mapping[str, Any] | None = None,
) -> Published:
    """Read the network in a file of weights; `configuration` is a published YAML file. The importer of both backbones.

    Raises DataError as `read_published` does, ConfigError where the configuration is wrong or contradicts the file.
    """
    tensors, meta, taken = network_in(file, weights)
    beside = {name: x for name, x in tensors.items() if name.startswith("repa_projector.")}
    given = {name: x for name, x in tensors.items() if name not in beside}
    published = None if configuration is None else parse(configuration)
    shapes = {name: tuple(x.shape) for name, x in given.items()}
    described = {**network_part(architecture), **hints(published, shapes)}
    found = infer(shapes, described)
    with torch.device("meta"):
        network = _network(found)
    weights_given = {name: x for name, x in given.items() if "rope." not in name}  # the tables are derived
    _compare(file.path, weights_given, export_published(network, tables=False))
    state = {e.ours: e.change.to_ours([given[name].float() for name in e.theirs]) for e in entries(network)}
    configured = {} if published is None else translate(published, found)
    return Published(found, state, beside, meta, taken, configured)


def import_published(
    path: str | Path, config: Mapping[str, Any] | None = None, weights: str = "ema"
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The `backbone:` part of a configuration file (with its name) and the state dict of the module it describes."""
    found = read_published(path, config, weights)
    return {"name": found.backbone, **found.settings}, dict(found.state)


def export_published(network: Network, *, tables: bool = True) -> dict[str, Tensor]:
    """The network's tensors under their published names; `tables` adds those of the rotary embedding."""
    state, found = network.state_dict(), dict(rope_tables(network)) if tables else {}
    for entry in entries(network):
        parts = entry.change.to_theirs(state[entry.ours])
        found |= dict(zip(entry.theirs, (part.contiguous() for part in parts), strict=True))
    return found


def _network(architecture: Architecture, wanted: frozenset[str] = frozenset()) -> Network:
    network, config = NETWORKS[architecture.backbone]
    built: Network = network(
        structure(architecture.settings, config, "backbone"),
        latent=architecture.latent,
        condition=architecture.condition,
        wanted=architecture.wanted | wanted,
    )
    return built


def _compare(path: Path, given: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Raises DataError where names or shapes differ."""
    shapes = {
        f"{name} {list(given[name].shape)} instead of {list(x.shape)}"
        for name, x in expected.items()
        if name in given and given[name].shape != x.shape
    }
    faults = {"missing": expected.keys() - given.keys(), "unknown": given.keys() - expected.keys(), "misshaped": shapes}
    found = [f"{fault}: {_some(names)}" for fault, names in faults.items() if names]
    if found:
        raise DataError(f"{path} is not of the published layout; {'; '.join(found)}.")


def _some(names: Any) -> str:
    ordered = sorted(names)
    rest = f" and {len(ordered) - SHOWN} more" if len(ordered) > SHOWN else ""
    return ", ".join(ordered[:SHOWN]) + rest
