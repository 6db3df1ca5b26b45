"""Checkpoints of a run: one folder per step, written atomically. Tensors are safetensors, other state is JSON."""

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


# -- one checkpoint ---------------------------------------------------------------------------------------------------


def save(run: Path, step: int, states: Mapping[str, Tensors], facts: Mapping[str, Any]) -> None:
    """Write a checkpoint from one process. A crash leaves no partial checkpoint.

    Args:
        run: Folder of the run.
        step: Steps taken so far.
        states: Tensors by part (such as "nets") and name.
        facts: JSON values, such as the training time.
    """
    path = path_of(run, step)
    with storage.whole_folder(path) as folder:
        for name, tensors in states.items():
            storage.write_tensors(folder / f"{name}.safetensors", tensors, hashed=False)
        _seal(folder, {"step": step, **facts})


def save_distributed(run: Path, step: int, states: Mapping[str, Tensors], facts: Mapping[str, Any]) -> None:
    """Write a checkpoint from all processes; each writes its shards. Called on every process.

    Args:
        run: Folder of the run.
        step: Steps taken so far.
        states: Tensors by part (such as "nets") and name. They may be sharded.
        facts: JSON values, such as the training time.
    """
    path = path_of(run, step)
    temporary = processes.broadcast_from_main(partial(storage.begin_folder, path))
    try:
        for name, tensors in states.items():
            sharded.write(temporary / name, tensors)
        files = integrity.files_in(temporary)[processes.rank() :: processes.world()]
        listings = processes.all_gather(integrity.listing(temporary, files))
        if processes.rank() == 0:
            merged = {name: entry for listing in listings for name, entry in listing.items()}
            _seal(temporary, {"step": step, **facts}, merged)
            storage.finish_folder(temporary, path)
    except BaseException:
        storage.discard(temporary)
        raise


def _seal(folder: Path, facts: Mapping[str, Any], already_listed: integrity.Listing | None = None) -> None:
    """Write the facts and the manifest of all files. Files in `already_listed` are not hashed again."""
    storage.write_json(folder / FACTS, facts)
    already_listed = already_listed or {}
    rest = [file for file in integrity.files_in(folder) if file.relative_to(folder).as_posix() not in already_listed]
    integrity.seal(folder, {**already_listed, **integrity.listing(folder, rest)})


def load(
    run: Path, step: int, templates: Mapping[str, Tensors] | None = None
) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """Read a checkpoint that one process or several have written.

    Args:
        run: Folder of the run.
        step: Step of the checkpoint.
        templates: Tensors by part and name. A loaded tensor is sharded like the template of the same name. The template
            of the optimizer state `name|key` is that of `name`. Without a template, a tensor is unsharded.

    Returns:
        Tensors by part and name, and the JSON values.

    Raises:
        DataError: A file is corrupt.
    """
    folder = path_of(run, step)
    facts = storage.read_json(folder / FACTS)
    parts = {entry.stem for entry in folder.iterdir() if entry.is_dir() or entry.suffix == ".safetensors"}
    return {part: _read(folder, part, (templates or {}).get(part, {})) for part in sorted(parts)}, facts


def _read(folder: Path, part: str, templates: Tensors) -> dict[str, Tensor]:
    def template(name: str) -> Tensor | None:
        return templates.get(name.split("|")[0])

    if (folder / part).is_dir():
        return sharded.read(folder / part, template)
    tensors = storage.read_tensors(folder / f"{part}.safetensors")
    return {name: dtensor.shard_like(tensor, template(name)) for name, tensor in tensors.items()}


# -- the checkpoints of a run ------------------------------------------------------------------------------------------


def newest(run: Path) -> int:
    """Return the step of the newest intact checkpoint. Logs a warning for each newer, corrupt one.

    Raises:
        TrainingError: There is no intact checkpoint.
    """
    steps = steps_in(run)
    if not steps:
        has_log = (run / LOG).exists()
        raise TrainingError(
            f"Cannot resume {run}: "
            + (
                "the run has no checkpoint. Start again with --overwrite."
                if has_log
                else "the folder contains no run. Start one without --resume, or choose another folder with --output."
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
        f"Cannot resume {run}: all checkpoints are corrupt. {' '.join(reasons)} Copy an intact one"
        f" into {path_of(run, steps[0]).parent}, or start again in another folder with --output."
    )


def clean_up(run: Path, step: int) -> None:
    """Clean up after a killed run before it resumes from `step`.

    Deletes partial checkpoints and renames corrupt ones of later steps, so that they are no longer found.
    """
    storage.sweep(run / FOLDER)
    for later in steps_in(run):
        if later > step:
            path = path_of(run, later)
            os.replace(path, _unused_path(path.with_name(f"damaged-{path.name}")))


def _unused_path(path: Path) -> Path:
    """Return the path, or the path with the first unused number appended."""
    names = (path, *(path.with_name(f"{path.name}-{number}") for number in range(2, 1000)))
    return next(name for name in names if not name.exists())


def prune(run: Path, keep: int, every: int = 0) -> None:
    """Delete old checkpoints.

    Args:
        run: Folder of the run.
        keep: Number of newest checkpoints to keep.
        every: Also keep the checkpoints of steps that are multiples of this; 0 keeps only the newest.
    """
    for step in steps_in(run)[:-keep]:
        if not every or step % every:
            storage.remove_folder(path_of(run, step))


def remove_all(run: Path) -> None:
    """Delete all checkpoints of a run, and their folder if it is then empty."""
    for step in steps_in(run):
        storage.remove_folder(path_of(run, step))
    storage.remove_files(run / FOLDER, ())


# -- the state of networks and optimisers ----------------------------------------------------------------------------


def optimizer_state(optimizer: torch.optim.Optimizer, names: Sequence[str]) -> dict[str, Tensor]:
    """Return the state tensors of an optimizer. A tensor's name is `parameter|key`, such as `weight|exp_avg`.

    Args:
        names: Names of the optimizer's parameters, in the optimizer's order.
    """
    flat: dict[str, Tensor] = {}
    for index, values in optimizer.state_dict()["state"].items():
        flat.update({f"{names[index]}|{key}": torch.as_tensor(value) for key, value in values.items()})
    return flat


def load_optimizer_state(optimizer: torch.optim.Optimizer, names: Sequence[str], flat: Tensors) -> None:
    """Load the result of `optimizer_state`."""
    state: dict[int, dict[str, Tensor]] = {}
    for joint, value in flat.items():
        name, _, key = joint.rpartition("|")
        state.setdefault(names.index(name), {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def nets_state(nets: nn.Module) -> dict[str, Tensor]:
    """Return the state dict of networks, with each shared parameter under its first name only.

    For example, a network with an adapter and the EMA of this network share the frozen weights.
    """
    seen: set[int] = set()
    further = set()
    for name, parameter in nets.named_parameters(remove_duplicate=False):
        further |= {name} if id(parameter) in seen else set()
        seen.add(id(parameter))
    return {name: tensor for name, tensor in nets.state_dict().items() if name not in further}


def load_nets(nets: nn.Module, tensors: Tensors, run: Path) -> None:
    """Load the networks of a stage.

    Args:
        nets: The networks.
        tensors: Their state dict from a checkpoint.
        run: Folder of the run, for the error message.

    Raises:
        TrainingError: Names or shapes differ. The message states the first difference.
    """
    expected = nets_state(nets)
    missing, unknown = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
    wrong_shape = [name for name in expected if name in tensors and expected[name].shape != tensors[name].shape]
    if not (missing or unknown or wrong_shape):
        nets.load_state_dict(dict(tensors), strict=False)  # further names of shared parameters are absent
        return
    if wrong_shape:
        name = wrong_shape[0]
        found, configured = list(tensors[name].shape), list(expected[name].shape)
        reason = f"{name} has shape {found} in the checkpoint and {configured} in the configured networks"
    else:
        reason = f"the checkpoint has no {missing[0]}" if missing else f"the configured networks have no {unknown[0]}"
    raise TrainingError(
        f"The checkpoint in {run} does not match the configuration: {reason}. Resume with the run's own config.yaml."
    )
