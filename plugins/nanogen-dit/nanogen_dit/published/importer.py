"""A published checkpoint as one of our networks, and back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from attrs import frozen
from torch import Tensor

from nanogen_core.errors import DataError
from nanogen_core.specs import ConditionSpec, LatentSpec
from nanogen_core.structure import structure
from nanogen_dit.config import DDTConfig, LightningDiTConfig
from nanogen_dit.ddt import DDT
from nanogen_dit.lightning_dit import LightningDiT
from nanogen_dit.published.architecture import Architecture, infer
from nanogen_dit.published.files import read_checkpoint
from nanogen_dit.published.layout import Network, entries, rope_tables

SHOWN = 4  # names in an error
RGB = 3
NETWORKS: Mapping[str, tuple[Any, Any]] = {"lightning-dit": (LightningDiT, LightningDiTConfig), "ddt": (DDT, DDTConfig)}


@frozen
class Published:
    """A checkpoint of the published layout, read and checked."""

    architecture: Architecture
    state: Mapping[str, Tensor]  # of our module, float32
    beside: Mapping[str, Tensor]  # tensors of the file that belong to an auxiliary loss (REPA's projector)
    meta: Mapping[str, Any]  # plain values of the file: step, epoch ...

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
        """The part of a configuration that the file tells: the backbone, the task by its condition (texts are padded),
        the method by its channels (three are pixels)."""
        return {
            "task": "t2i" if self.condition.padded else "imagenet",
            "method": "pixel" if self.latent.channels == RGB else "vae",
            "backbone": {"name": self.backbone, **self.settings},
        }

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
    """A checkpoint file with the JSON configuration beside it, if any; see `read_checkpoint` and `infer`.

    Raises DataError in one sentence for a file that cannot be read, or whose names or shapes are not the layout's.
    """
    tensors, meta = read_checkpoint(path, weights)
    beside = {name: x for name, x in tensors.items() if name.startswith("repa_projector.")}
    given = {name: x for name, x in tensors.items() if name not in beside}
    architecture = infer({name: tuple(x.shape) for name, x in given.items()}, config)
    with torch.device("meta"):
        network = _network(architecture)
    weights_given = {name: x for name, x in given.items() if "rope." not in name}  # the tables are derived
    _compare(Path(path), weights_given, export_published(network, tables=False))
    state = {e.ours: e.change.to_ours([given[name].float() for name in e.theirs]) for e in entries(network)}
    return Published(architecture, state, beside, meta)


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
