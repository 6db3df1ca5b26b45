"""Checkpoints: one folder a step, whole or not there; safetensors for what is a tensor, JSON for the rest."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nanogen_core import storage
from nanogen_core.errors import TrainingError

FOLDER = "checkpoints"
_NAME = re.compile(r"step-(\d{8})")


def path_of(run: Path, step: int) -> Path:
    return run / FOLDER / f"step-{step:08d}"


def steps_in(run: Path) -> list[int]:
    """The steps of the whole checkpoints of a run, in rising order."""
    folders = (run / FOLDER).glob("step-*")
    return sorted(int(match[1]) for folder in folders if (match := _NAME.fullmatch(folder.name)))


def save(run: Path, step: int, states: Mapping[str, Mapping[str, Tensor]], facts: Mapping[str, Any]) -> None:
    """Writes the tensors of every part and the facts of the run; a crash leaves no half checkpoint."""
    with storage.whole_folder(path_of(run, step)) as folder:
        for name, tensors in states.items():
            storage.write_tensors(folder / f"{name}.safetensors", tensors)
        storage.write_json(folder / "state.json", {"step": step, **facts})


def load(run: Path, step: int) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """What `save` wrote. Raises DataError where a file is damaged."""
    folder = path_of(run, step)
    facts = storage.read_json(folder / "state.json")
    return {file.stem: storage.read_tensors(file) for file in sorted(folder.glob("*.safetensors"))}, facts


def newest(run: Path) -> int:
    """The step to go on from. Raises TrainingError where the run has no checkpoint."""
    steps = steps_in(run)
    if not steps:
        raise TrainingError(
            f"There is nothing to resume in {run}: it holds no checkpoint. Start it without --resume, or name another"
            " folder with --output."
        )
    return steps[-1]


def thin_out(run: Path, keep: int) -> None:
    """Deletes all checkpoints but the newest `keep`."""
    for step in steps_in(run)[:-keep]:
        shutil.rmtree(path_of(run, step))


def optimizer_state(optimizer: torch.optim.Optimizer, names: Sequence[str]) -> dict[str, Tensor]:
    """An optimiser's tensors as `parameter|state`, for the parameters of these names in the optimiser's order."""
    flat: dict[str, Tensor] = {}
    for index, values in optimizer.state_dict()["state"].items():
        flat.update({f"{names[index]}|{key}": torch.as_tensor(value) for key, value in values.items()})
    return flat


def load_optimizer_state(optimizer: torch.optim.Optimizer, names: Sequence[str], flat: Mapping[str, Tensor]) -> None:
    """Puts back what `optimizer_state` gave."""
    state: dict[int, dict[str, Tensor]] = {}
    for joint, value in flat.items():
        name, _, key = joint.rpartition("|")
        state.setdefault(names.index(name), {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def load_nets(nets: nn.Module, tensors: Mapping[str, Tensor], run: Path) -> None:
    """Loads the networks of a stage. Raises TrainingError where the configuration now builds other ones."""
    try:
        nets.load_state_dict(dict(tensors))
    except RuntimeError as error:
        reason = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise TrainingError(f"The checkpoint in {run} belongs to another configuration: {reason}") from error
