"""Imports and exports checkpoints in the layout of DiffusionBench."""

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

MAX_NAMES = 4  # in an error message
NETWORKS: Mapping[str, tuple[Any, Any]] = {"lightning-dit": (LightningDiT, LightningDiTConfig), "ddt": (DDT, DDTConfig)}


UNDECIDED = (
    Undecided("tokenizer", "tokenizer", ("preset", "encoder", "path")),
    Undecided("prediction", "objective", ("prediction",), by_method=True),
    Undecided("shift", "objective", ("shift", "sample_shift"), by_method=True, null=True),
    Undecided("guidance", "guidance"),
)


@frozen
class Published:
    """A checkpoint in the layout of DiffusionBench, read and checked.

    Args:
        architecture: Architecture of the network.
        state: State dict of the backbone, float32.
        beside: Tensors of auxiliary losses in the file (REPA's projector).
        meta: Plain values of the file, such as step and epoch.
        weights: The set of weights that was read, "ema" or "model". None: the file has one unnamed set.
        configured: The NanoGen options that the published configuration determines.
    """

    architecture: Architecture
    state: Mapping[str, Tensor]
    beside: Mapping[str, Tensor]
    meta: Mapping[str, Any]
    weights: str | None = None
    configured: Mapping[str, Any] = field(factory=dict)

    configured_by = None  # the importer calls it "the published configuration"
    hint = ""
    structural = frozenset({"two-time", "cfg-conditioned", "cls-token", "internal-head"})

    @property
    def latent(self) -> LatentSpec:
        """Shape of the state. Its `factor` is unknown: the tokenizer determines it."""
        return self.architecture.latent

    @property
    def condition(self) -> ConditionSpec:
        return self.architecture.condition

    @property
    def wanted(self) -> frozenset[str]:
        return self.architecture.wanted

    @property
    def suggested(self) -> Mapping[str, Any]:
        """The part of a configuration that the tensors determine: backbone, task and, for labels, conditioner."""
        backbone = {"backbone": {"name": self.backbone, **self.settings}}
        if self.condition.padded:  # texts
            return {"task": "t2i", **backbone}
        conditioner = {"name": "label", "learned": self.condition.learned}
        return {"task": "imagenet", "conditioner": conditioner, **backbone}

    @property
    def undecided(self) -> Sequence[Undecided]:
        """Choices that the tensors do not determine."""
        return UNDECIDED

    @property
    def notes(self) -> Sequence[str]:
        return [f"dropped {', '.join(sorted(self.beside))}, which belong to REPA's loss"] if self.beside else []

    def conflicts(self, configuration: Mapping[str, Any]) -> list[str]:
        """Compare a configuration with the checkpoint. Return a phrase for each option of the backbone that differs."""
        return conflicts(self.architecture, configuration.get("backbone", {}), NETWORKS[self.backbone][1])

    @property
    def backbone(self) -> str:
        """Name of the backbone, "ddt" or "lightning-dit"."""
        return self.architecture.backbone

    @property
    def settings(self) -> Mapping[str, Any]:
        """Options of the backbone, for a configuration file."""
        return self.architecture.settings

    def build(self, wanted: frozenset[str] = frozenset()) -> Network:
        """Build the network with its weights. `wanted` adds needed capabilities, such as "jvp"."""
        network = _network(self.architecture, wanted)
        network.load_state_dict(dict(self.state))
        return network


def read_published(path: str | Path, config: Mapping[str, Any] | None = None, weights: str = "ema") -> Published:
    """Read a checkpoint file.

    Args:
        path: The file.
        config: JSON description of the network; see `infer`.
        weights: The set to read, "ema" or "model". Ignored if the file has only one set, without a name.

    Raises:
        DataError: The file cannot be read, its tensors do not match the layout, or `config` does not fit the tensors.
    """
    return from_weights(read_weights(path), weights=weights, architecture=config)


def from_weights(
    file: WeightsFile,
    *,
    weights: str = "ema",
    architecture: Mapping[str, Any] | None = None,
    configuration: Mapping[str, Any] | None = None,
) -> Published:
    """Read the network in a file of weights. This is the importer of `lightning-dit` and `ddt`.

    Args:
        file: The tensors and values of the file.
        weights: The set to read, "ema" or "model". Ignored if the file has only one set, without a name.
        architecture: JSON description of the network; see `infer`.
        configuration: The published YAML configuration.

    Raises:
        DataError: The tensor names or shapes do not match the layout, or the description does not fit the tensors.
        ConfigError: The configuration is invalid or contradicts the tensors.
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
    """Read a checkpoint. Return the `backbone:` section of a configuration and the state dict of the network.

    Takes the arguments and raises the errors of `read_published`.
    """
    found = read_published(path, config, weights)
    return {"name": found.backbone, **found.settings}, dict(found.state)


def export_published(network: Network, *, tables: bool = True) -> dict[str, Tensor]:
    """Return the network's tensors under their published names.

    Args:
        network: The network.
        tables: Whether to add the tables of the rotary embedding.

    Raises:
        Incompatible: The layout has no name for a tensor, for example with `interval: sum`.
    """
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
    """Raise DataError if names or shapes differ."""
    shapes = {
        f"{name} {list(given[name].shape)} instead of {list(x.shape)}"
        for name, x in expected.items()
        if name in given and given[name].shape != x.shape
    }
    faults = {"missing": expected.keys() - given.keys(), "unknown": given.keys() - expected.keys(), "misshaped": shapes}
    found = [f"{fault}: {_some(names)}" for fault, names in faults.items() if names]
    if found:
        raise DataError(
            f"{path} is not in the layout of DiffusionBench: {'; '.join(found)}. Use a published checkpoint."
        )


def _some(names: Any) -> str:
    ordered = sorted(names)
    rest = f" and {len(ordered) - MAX_NAMES} more" if len(ordered) > MAX_NAMES else ""
    return ", ".join(ordered[:MAX_NAMES]) + rest
