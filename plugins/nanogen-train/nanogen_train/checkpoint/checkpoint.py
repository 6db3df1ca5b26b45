"""Checkpoints: one folder a step, whole or not there; safetensors for what is a tensor, JSON for the rest."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nanogen_core.errors import DataError, TrainingError
from nanogen_files import storage
from nanogen_train.checkpoint import distributed as sharded
from nanogen_train.checkpoint import integrity
from nanogen_train.checkpoint.paths import FOLDER as FOLDER
from nanogen_train.checkpoint.paths import path_of as path_of
from nanogen_train.checkpoint.paths import steps_in as steps_in
from nanogen_train.distributed import dtensor, processes
from nanogen_train.logging.metrics_log import LOG

FACTS = "state.json"
log = logging.getLogger(__name__)

Tensors = Mapping[str, Tensor]


# -- writing and reading one -----------------------------------------------------------------------------------------


def save(run: Path, step: int, states: Mapping[str, Tensors], facts: Mapping[str, Any]) -> None:
    """Writes the tensors of every part and the facts of the run; a crash leaves no half checkpoint."""
    path = path_of(run, step)
    with storage.whole_folder(path) as folder:
        for name, tensors in states.items():
            storage.write_tensors(folder / f"{name}.safetensors", tensors, hashed=False)
        _seal(folder, {"step": step, **facts})


def save_together(run: Path, step: int, states: Mapping[str, Tensors], facts: Mapping[str, Any]) -> None:
    """The same by all processes, each of which writes and lists its share: a folder for each part."""
    path = path_of(run, step)
    temporary = processes.from_main(partial(storage.begin_folder, path))
    try:
        for name, tensors in states.items():
            sharded.write(temporary / name, tensors)
        files = integrity.files_in(temporary)[processes.rank() :: processes.world()]
        listed = processes.gathered(integrity.listing(temporary, files))
        if processes.rank() == 0:
            _seal(temporary, {"step": step, **facts}, {name: entry for part in listed for name, entry in part.items()})
            storage.finish_folder(temporary, path)
    except BaseException:
        storage.discard(temporary)
        raise


def _seal(folder: Path, facts: Mapping[str, Any], listed: integrity.Listing | None = None) -> None:
    """Writes the facts, and the manifest of all files, of which those that are `listed` were looked at before."""
    storage.write_json(folder / FACTS, facts)
    listed = listed or {}
    rest = [file for file in integrity.files_in(folder) if file.relative_to(folder).as_posix() not in listed]
    integrity.seal(folder, {**listed, **integrity.listing(folder, rest)})


def load(
    run: Path, step: int, like: Mapping[str, Tensors] | None = None
) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """What was saved, by one process or by many. Raises DataError where a file is damaged.

    `like` has, by part and name, tensors that are shared out as the loaded ones are to be: those of this name, and
    those of an optimiser's `name|key`.
    """
    folder = path_of(run, step)
    facts = storage.read_json(folder / FACTS)
    parts = {entry.stem for entry in folder.iterdir() if entry.is_dir() or entry.suffix == ".safetensors"}
    return {part: _read(folder, part, (like or {}).get(part, {})) for part in sorted(parts)}, facts


def _read(folder: Path, part: str, like: Tensors) -> dict[str, Tensor]:
    def model(name: str) -> Tensor | None:
        return like.get(name.split("|")[0])

    if (folder / part).is_dir():
        return sharded.read(folder / part, model)
    tensors = storage.read_tensors(folder / f"{part}.safetensors")
    return {name: dtensor.placed(tensor, model(name)) for name, tensor in tensors.items()}


# -- those of a run --------------------------------------------------------------------------------------------------


def newest(run: Path) -> int:
    """The step of the newest whole checkpoint; damaged ones are reported. Raises TrainingError where there is none."""
    steps = steps_in(run)
    if not steps:
        begun = (run / LOG).exists()
        raise TrainingError(
            f"There is nothing to resume in {run}: "
            + (
                "its run was stopped before the first checkpoint. Start it anew with --overwrite."
                if begun
                else "it holds no run. Start one without --resume, or name another folder with --output."
            )
        )
    reasons = []
    for step in reversed(steps):
        try:
            integrity.verify(path_of(run, step))
        except DataError as error:
            reasons.append(str(error))
            log.warning("The checkpoint of step %d is skipped: %s", step, error)
        else:
            return step
    raise TrainingError(
        f"There is nothing to resume in {run}: none of its checkpoints is whole. {' '.join(reasons)} Restore one, or"
        " start again in another folder with --output."
    )


def tidy(run: Path, step: int) -> None:
    """Clears what a killed run left, before one goes on from `step`: half checkpoints are deleted, and damaged ones
    of later steps get another name, under which nothing takes or counts them."""
    storage.sweep(run / FOLDER)
    for later in steps_in(run):
        if later > step:
            path = path_of(run, later)
            os.replace(path, _free(path.with_name(f"damaged-{path.name}")))


def _free(path: Path) -> Path:
    """The path, or with a number behind it the first one where nothing lies."""
    names = (path, *(path.with_name(f"{path.name}-{number}") for number in range(2, 1000)))
    return next(name for name in names if not name.exists())


def thin_out(run: Path, keep: int, every: int = 0) -> None:
    """Deletes all checkpoints but the newest `keep`, and those of every `every`-th step (0: of none)."""
    for step in steps_in(run)[:-keep]:
        if not every or step % every:
            storage.remove_folder(path_of(run, step))


def remove_all(run: Path) -> None:
    """Deletes all checkpoints of a run, and their folder where nothing else lies in it."""
    for step in steps_in(run):
        storage.remove_folder(path_of(run, step))
    storage.remove_files(run / FOLDER, ())


# -- the state of networks and optimisers ----------------------------------------------------------------------------


def optimizer_state(optimizer: torch.optim.Optimizer, names: Sequence[str]) -> dict[str, Tensor]:
    """An optimiser's tensors as `parameter|state`, for the parameters of these names in the optimiser's order."""
    flat: dict[str, Tensor] = {}
    for index, values in optimizer.state_dict()["state"].items():
        flat.update({f"{names[index]}|{key}": torch.as_tensor(value) for key, value in values.items()})
    return flat


def load_optimizer_state(optimizer: torch.optim.Optimizer, names: Sequence[str], flat: Tensors) -> None:
    """Puts back what `optimizer_state` gave."""
    state: dict[int, dict[str, Tensor]] = {}
    for joint, value in flat.items():
        name, _, key = joint.rpartition("|")
        state.setdefault(names.index(name), {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def load_nets(nets: nn.Module, tensors: Tensors, run: Path) -> None:
    """Loads the networks of a stage. Raises TrainingError, naming the first difference, for those of another stage."""
    own = nets.state_dict()
    missing, unknown = sorted(own.keys() - tensors.keys()), sorted(tensors.keys() - own.keys())
    other = [name for name in own if name in tensors and own[name].shape != tensors[name].shape]
    if not (missing or unknown or other):
        nets.load_state_dict(dict(tensors))
        return
    if other:
        name = other[0]
        reason = f"{name} has the shape {list(tensors[name].shape)} there and {list(own[name].shape)} here"
    else:
        reason = f"it has no {missing[0]}" if missing else f"{unknown[0]} is unknown here"
    raise TrainingError(
        f"The checkpoint in {run} belongs to another configuration: {reason}. Resume with the run's own config.yaml."
    )
