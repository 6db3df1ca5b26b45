"""Imports SiT checkpoints as `DiT` networks. DiT checkpoints have the same tensors but predict epsilon."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from attrs import frozen
from torch import Tensor

from nanogen_core.errors import ConfigError, DataError
from nanogen_core.specs import ConditionSpec, LatentSpec
from nanogen_dit.dit import DiT
from nanogen_dit.dit_config import DIT_SIZES, DiTConfig
from nanogen_dit.dit_embeddings import position_table
from nanogen_dit.dit_published.architecture import SiTArchitecture, infer
from nanogen_dit.dit_published.arguments import configured
from nanogen_dit.dit_published.layout import POSITIONS, entries
from nanogen_files.structure import structure
from nanogen_import import Undecided, Unrecognised, WeightsFile, choose, has, read_weights

ANCHOR = "x_embedder.proj.weight"
SIT_ONLY = ("y_embedder.embedding_table.weight", POSITIONS)  # the layout of DiffusionBench has neither
POSITION_TOLERANCE = 1e-4

TOKENIZER = Undecided("tokenizer", "tokenizer", ("preset", "encoder", "path"))
PREDICTION = Undecided("prediction", "objective", ("prediction",), by_method=True)
SHIFT = Undecided("shift", "objective", ("shift", "sample_shift"), by_method=True, null=True)
GUIDANCE = Undecided("guidance", "guidance")
HEADS = Undecided("number of attention heads", "backbone", ("heads",), by_recipe=False)


@frozen
class SiTCheckpoint:
    """A SiT checkpoint, read and checked.

    Args:
        architecture: Architecture of the network.
        state: State dict of `DiT`, float32.
        weights: The set of weights that was read, "ema" or "model". None: the file has one unnamed set.
        configured: The NanoGen options that the training arguments in the file determine.
    """

    architecture: SiTArchitecture
    state: Mapping[str, Tensor]
    weights: str | None
    configured: Mapping[str, Any]

    wanted: frozenset[str] = frozenset()
    structural: frozenset[str] = frozenset({"two-time"})
    configured_by = "the arguments in the file"
    hint = (
        " SiT predicts velocities on a linear path. DiT checkpoints have the same tensors; their epsilon-prediction on"
        " another noise schedule is not supported."
    )

    @property
    def latent(self) -> LatentSpec:
        return self.architecture.latent

    @property
    def condition(self) -> ConditionSpec:
        return self.architecture.condition

    @property
    def suggested(self) -> Mapping[str, Any]:
        return {"task": "imagenet", "backbone": {"name": "dit", **self.architecture.settings}}

    @property
    def undecided(self) -> Sequence[Undecided]:
        """Choices that the tensors do not determine, including the number of heads if it is unknown."""
        heads = (HEADS,) if self.architecture.open_heads else ()
        return (TOKENIZER, PREDICTION, SHIFT, GUIDANCE, *heads)

    @property
    def notes(self) -> Sequence[str]:
        dropped = ["dropped the learned variance, which is unused"] if self.architecture.sigma else []
        return [*dropped, "negated the velocity, which points from noise to data in SiT"]

    def conflicts(self, configuration: Mapping[str, Any]) -> list[str]:
        """Compare backbone and prediction of a configuration with the checkpoint. Return a phrase for each conflict."""
        backbone = configuration.get("backbone", {})
        prediction = configuration.get("objective", {}).get("prediction", "velocity")
        settings = self.architecture.settings
        given = {name: value for name, value in backbone.items() if value is not None and name in settings}
        if trunk := DIT_SIZES.get(str(backbone.get("size"))):
            preset = {"hidden": trunk.hidden, "depth": trunk.depth}
            given = {**preset, **given}
        found = [
            f"{name} {value}, but the checkpoint has {settings[name]}"
            for name, value in given.items()
            if value != settings[name]
        ]
        if prediction != "velocity":
            found.append(
                f"prediction {prediction}, but only SiT's velocity on the linear path is supported (DiT's"
                " epsilon-prediction uses another noise schedule)"
            )
        return found

    def build(self, heads: int | None = None) -> DiT:
        """Build the network with its weights.

        Raises ConfigError if the number of attention heads is unknown (`architecture.open_heads`) and not given.
        """
        if heads is None and self.architecture.open_heads:
            hidden, depth = self.architecture.settings["hidden"], self.architecture.settings["depth"]
            raise ConfigError(
                f"The number of attention heads is unknown: no published size has width {hidden} and depth"
                f" {depth}, and no tensor determines the number. Give it: build(heads=...), or `num_heads` in the JSON"
                " description."
            )
        network = _network(self.architecture, {} if heads is None else {"heads": heads})
        network.load_state_dict(dict(self.state))
        return network


def read_sit(path: str | Path, config: Mapping[str, Any] | None = None, weights: str = "ema") -> SiTCheckpoint:
    """Read a SiT checkpoint: a bare state dict, or a file of the training script.

    Args:
        path: The file.
        config: JSON description. Only `num_heads` is read.
        weights: The set to read, "ema" or "model". Ignored if the file has only one set, without a name.

    Raises:
        DataError: The file cannot be read or has another layout, or its training arguments are those of DiT or of an
            unsupported SiT.
    """
    return from_weights(read_weights(path), weights=weights, architecture=config)


def from_weights(
    file: WeightsFile,
    *,
    weights: str = "ema",
    architecture: Mapping[str, Any] | None = None,
    configuration: Mapping[str, Any] | None = None,
) -> SiTCheckpoint:
    """Read the network in a file of weights. This is the importer of the backbone `dit`.

    Args:
        file: The tensors and values of the file.
        weights: The set to read, "ema" or "model". Ignored if the file has only one set, without a name.
        architecture: JSON description. Only `num_heads` is read.
        configuration: Must be None: SiT has no published configuration files.

    Raises:
        Unrecognised: The file has another layout.
        DataError: The tensors are not SiT's, or the training arguments are those of DiT or of an unsupported SiT.
        ConfigError: `configuration` was given.
    """
    if not has(file, ANCHOR) or not any(has(file, name) for name in SIT_ONLY):
        lacks = SIT_ONLY[0] if has(file, ANCHOR) else ANCHOR
        raise Unrecognised(f"{file.path} contains no SiT network: the tensor {lacks} is missing")
    if configuration is not None:
        raise ConfigError(
            f"{file.path} is a SiT, and SiT has no published configuration files. Give --config a NanoGen"
            " configuration, or use --recipe or --set."
        )
    tensors, taken = choose(file, ANCHOR, weights)
    found = infer({name: tuple(x.shape) for name, x in tensors.items()}, architecture)
    _compare(file.path, found, tensors)
    with torch.device("meta"):
        network = _network(found)
    state = {
        entry.ours: entry.change.to_ours([tensors[name].float() for name in entry.theirs])
        for entry in entries(network, sigma=found.sigma)
    }
    return SiTCheckpoint(found, state, taken, configured(file, found))


def _network(architecture: SiTArchitecture, more: Mapping[str, Any] | None = None) -> DiT:
    heads = {"heads": 1} if architecture.open_heads else {}  # shapes do not depend on the number
    config = structure({**architecture.settings, **heads, **(more or {})}, DiTConfig, "backbone")
    return DiT(config, latent=architecture.latent, condition=architecture.condition)


def _compare(path: Path, found: SiTArchitecture, tensors: Mapping[str, Tensor]) -> None:
    """Raise DataError if names, shapes or the fixed positions do not match SiT."""
    with torch.device("meta"):
        network = _network(found)
        expected = {
            name: tuple(part.shape)
            for entry in entries(network, sigma=found.sigma)
            for name, part in zip(entry.theirs, entry.change.to_theirs(network.state_dict()[entry.ours]), strict=True)
        }
    expected[POSITIONS] = (1, *network.positions.shape)
    faults = [f"missing: {name}" for name in sorted(expected.keys() - tensors.keys())]
    faults += [f"unknown: {name}" for name in sorted(tensors.keys() - expected.keys())]
    faults += [
        f"misshaped: {name} {list(tensors[name].shape)} instead of {list(shape)}"
        for name, shape in expected.items()
        if name in tensors and tuple(tensors[name].shape) != shape
    ]
    if faults:
        more = f"; and {len(faults) - 4} more" if len(faults) > 4 else ""
        raise DataError(
            f"{path} does not have the layout of SiT; {'; '.join(faults[:4])}{more}. Use a published SiT checkpoint."
        )
    table = position_table(network.geometry.grid, network.trunk.hidden)
    if (tensors[POSITIONS][0].float() - table).abs().max() > POSITION_TOLERANCE:
        raise DataError(f"{path}: {POSITIONS} is not SiT's fixed sine-cosine table. Use a published SiT checkpoint.")
