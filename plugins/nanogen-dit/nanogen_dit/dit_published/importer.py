"""A checkpoint of SiT as one of our networks. DiT's look the same, and predict something else."""

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
OWN = ("y_embedder.embedding_table.weight", POSITIONS)  # the networks of the other layout have neither
SAME_TABLE = 1e-4

TOKENIZER = Undecided("tokenizer", "tokenizer", ("preset", "encoder", "path"))
PREDICTION = Undecided("prediction", "objective", ("prediction",), by_method=True)
SHIFT = Undecided("shift", "objective", ("shift", "sample_shift"), by_method=True, null=True)
GUIDANCE = Undecided("guidance", "guidance")
HEADS = Undecided("number of attention heads", "backbone", ("heads",), by_recipe=False)


@frozen
class SiTCheckpoint:
    """A state dict of SiT, read and checked."""

    architecture: SiTArchitecture
    state: Mapping[str, Tensor]  # of our module, float32
    weights: str | None
    configured: Mapping[str, Any]  # what the arguments in the file decide

    wanted: frozenset[str] = frozenset()
    structural: frozenset[str] = frozenset({"two-time"})
    configured_by = "the arguments in the file"
    hint = (
        " SiT predicts velocities on a linear path. The weights of DiT look the same; its epsilon-prediction on a noise"
        " schedule of its own is not supported."
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
        """As for every latent; and the heads where neither a shape nor a published size tells them."""
        heads = (HEADS,) if self.architecture.open_heads else ()
        return (TOKENIZER, PREDICTION, SHIFT, GUIDANCE, *heads)

    @property
    def notes(self) -> Sequence[str]:
        dropped = ["dropped the learned variance, which the velocity does not use"] if self.architecture.sigma else []
        return [*dropped, "turned the sign of the velocity, which points from noise to data in SiT"]

    def conflicts(self, configuration: Mapping[str, Any]) -> list[str]:
        """Compare a configuration's backbone and prediction with the file: a few words for each that differs."""
        backbone = configuration.get("backbone", {})
        prediction = configuration.get("objective", {}).get("prediction", "velocity")
        settings = self.architecture.settings
        given = {name: value for name, value in backbone.items() if value is not None and name in settings}
        if trunk := DIT_SIZES.get(str(backbone.get("size"))):
            preset = {"hidden": trunk.hidden, "depth": trunk.depth}
            given = {**preset, **given}
        found = [
            f"{name} {value}, but the file has {settings[name]}"
            for name, value in given.items()
            if value != settings[name]
        ]
        if prediction != "velocity":
            found.append(
                f"prediction {prediction}, but only SiT's velocity on the linear path is supported (DiT's"
                " epsilon-prediction has a noise schedule of its own)"
            )
        return found

    def build(self, heads: int | None = None) -> DiT:
        """The network with its weights. `heads` must be given where nothing tells them."""
        network = _network(self.architecture, {} if heads is None else {"heads": heads})
        network.load_state_dict(dict(self.state))
        return network


def read_sit(path: str | Path, config: Mapping[str, Any] | None = None, weights: str = "ema") -> SiTCheckpoint:
    """Read a checkpoint of SiT: a bare state dict, or a file of its training script.

    `config` may give `num_heads`. Raises DataError for a file that cannot be read or is of another layout.
    """
    return from_weights(read_weights(path), weights=weights, architecture=config)


def from_weights(
    file: WeightsFile,
    *,
    weights: str = "ema",
    architecture: Mapping[str, Any] | None = None,
    configuration: Mapping[str, Any] | None = None,
) -> SiTCheckpoint:
    """Read the network in a file of weights. The importer of the backbone `dit`.

    Raises:
        Unrecognised: the file is of another layout.
        DataError: names or shapes are not SiT's, or its arguments say that it is a DiT or another kind of SiT.
        ConfigError: a configuration was given that is not one of NanoGen.
    """
    if not has(file, ANCHOR) or not any(has(file, name) for name in OWN):
        lacks = OWN[0] if has(file, ANCHOR) else ANCHOR
        raise Unrecognised(f"{file.path} holds no network of SiT: it has no tensor {lacks}")
    if configuration is not None:
        raise ConfigError(
            f"{file.path} is a SiT, which has no published configuration files: use --recipe or --set in place of"
            " --config, or a configuration of NanoGen."
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
    heads = {"heads": 1} if architecture.open_heads else {}  # the shapes are the same with any number
    config = structure({**architecture.settings, **heads, **(more or {})}, DiTConfig, "backbone")
    return DiT(config, latent=architecture.latent, condition=architecture.condition)


def _compare(path: Path, found: SiTArchitecture, tensors: Mapping[str, Tensor]) -> None:
    """Raises DataError where names, shapes or the fixed positions are not those of SiT."""
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
        raise DataError(f"{path} is not of the layout of SiT; {'; '.join(faults[:4])}{more}.")
    table = position_table(network.geometry.grid, network.trunk.hidden)
    if (tensors[POSITIONS][0].float() - table).abs().max() > SAME_TABLE:
        raise DataError(
            f"{path}: {POSITIONS} is not the fixed table of sines and cosines of SiT; another one is not supported."
        )
