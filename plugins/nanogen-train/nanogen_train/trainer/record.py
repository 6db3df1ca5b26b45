"""`run.json`: the data, machine and pretrained weights of a run at its start, and the changes made when resuming."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from nanogen_core.assembly import AbsentDataset, Assembly
from nanogen_core.config import CONFIG, resolve
from nanogen_core.errors import DataError, NanoGenError, TrainingError
from nanogen_data.mixture import mixing_of
from nanogen_data.precomputed import identity
from nanogen_files import storage, yaml_files
from nanogen_files.config_diff import ABSENT, Difference, differences, flat
from nanogen_files.errors import counted
from nanogen_files.reading import is_file
from nanogen_train.distributed import processes
from nanogen_train.trainer.run_folder import RECORD

log = logging.getLogger(__name__)

FORMAT = 1
HISTORY = "history"  # folder of configurations replaced when resuming
MAX_SHOWN = 4
FILES = ("files", "contents", "versions")  # hashes that identify the files of the data
#: Options that may change when resuming. They affect the weights of later steps by rounding at most.
PERMITTED = (
    "train.steps",
    "train.log_every",
    "train.sample_every",
    "train.sample_count",
    "train.checkpoint_every",
    "train.keep_last",
    "train.keep_every",
    "train.num_workers",
    "train.tf32",
    "train.trackers",
    "train.evaluate",
    "train.strategy",
    "train.shard_by",
    "train.grad_accum_steps",
    "train.compile",
    "train.activation_checkpointing",
    "train.cache_latents",
    "train.precomputed_latents",
    "dataset.root",
    "dataset.patience",
    "sampler",
    "metric",
)


def new_record(parts: Assembly, precision: str) -> dict[str, Any]:
    """Return the record of a new run: its data, and the machine properties that affect rounding."""
    return {"format": FORMAT, "data": data_of(parts), "machine": machine(precision), "changes": []}


def machine(precision: str) -> dict[str, Any]:
    """Return the machine properties that affect rounding."""
    return {"processes": processes.world(), "threads": torch.get_num_threads(), "precision": precision}


def data_of(parts: Assembly) -> dict[str, Any]:
    """Return the class names and, if the data is present, the number and identity of the training examples."""
    facts: dict[str, Any] = {"classes": list(parts["classes"])}
    reading = getattr(parts["task"], "reading", None)
    if reading is None or isinstance(parts["dataset"], AbsentDataset):
        return facts
    try:
        opened = reading("train")
        source = identity.source_identity(parts, opened)
    except DataError:  # no images here; training fails later if it needs them
        return facts
    mixing = mixing_of(opened.examples)
    roots = {} if mixing is None else {"roots": mixing.facts()}
    return {**facts, **{name: source[name] for name in ("examples", *FILES) if name in source}, **roots}


def resumed_record(folder: Path, parts: Assembly, step: int, precision: str) -> dict[str, Any]:
    """Return the record of a resumed run. Adds the options that changed, and logs changes of data and machine.

    Args:
        folder: Folder of the run.
        parts: The assembled pipeline components.
        step: Step to resume from.
        precision: Compute precision.

    Raises:
        TrainingError: An option that must not change differs, `train.steps` is below `step`, or the classes differ.
        DataError: `run.json` is missing or corrupt.
    """
    record = _read(folder)
    changed = _changed_lines(folder, parts, step)
    _refuse_other_classes(folder, record["data"], parts)
    current = {"data": data_of(parts), "machine": machine(precision)}
    _warn_changes(record, current)
    if changed:
        entry = {"step": step, "changed": {line.key: [line.first, line.second] for line in changed}}
        record["changes"] = [*record["changes"], entry]
    return record


def archive_config(folder: Path, new: Mapping[str, Any], step: int) -> None:
    """Copy the old configuration to `history/` if the new one differs.

    Args:
        folder: Folder of the run.
        new: The new configuration.
        step: Step that the run resumes from.
    """
    old = _config(folder)
    if old is not None and differences(old, new):
        text = (folder / CONFIG).read_text(encoding="utf-8")
        storage.write_text(folder / HISTORY / f"config-until-{step:08d}.yaml", text)


def _changed_lines(folder: Path, parts: Assembly, step: int) -> list[Difference]:
    """Return the changed configuration lines. Raises TrainingError if one must not change."""
    old = _config(folder)
    if old is None:
        raise TrainingError(
            f"{folder / CONFIG} is missing or corrupt, so the run cannot be resumed. Restore it from a copy, or start a"
            " new run."
        )
    steps = parts.resolved.sections["train"].steps
    if steps < step:
        raise TrainingError(
            f"The run in {folder} has already taken {counted(step, 'step')}, but train.steps is {steps}: raise"
            " train.steps."
        )
    changed = differences(old, parts.resolved.as_dict())
    added = _added_defaults(old, parts)
    unlike = [line for line in changed if line.key not in added and not _other_paths_only(line)]
    refused = [line for line in unlike if not permitted(line.key)]
    if refused:
        shown = "; ".join(f"{line.key} was {line.first!r} and is now {line.second!r}" for line in refused[:MAX_SHOWN])
        more = f"; and {len(refused) - MAX_SHOWN} more" if len(refused) > MAX_SHOWN else ""
        raise TrainingError(
            f"The run in {folder} cannot be resumed with these changes: {shown}{more}. Undo them, or"
            " start a new run with another --output."
        )
    if added:
        shown = ", ".join(f"{key}: {value!r}" for key, value in added.items())
        log.warning("The run started without some options, and continues with their defaults: %s.", shown)
    return changed


def _added_defaults(old: Mapping[str, Any], parts: Assembly) -> dict[str, Any]:
    """Return the options that an older version did not write and that have their defaults now, by key."""
    try:
        completed = resolve(old, parts.resolved.objects()).as_dict()
    except NanoGenError:  # this version lacks an option of the run, which is a change
        return {}
    before, now = dict(flat(old)), dict(flat(parts.resolved.as_dict()))
    return {key: value for key, value in flat(completed) if key not in before and now.get(key, ABSENT) == value}


def permitted(key: str) -> bool:
    """Return whether the option `key` (such as "dataset.root") may change when a run resumes."""
    return any(key == name or key.startswith(f"{name}.") for name in PERMITTED)


def _other_paths_only(line: Difference) -> bool:
    """Return whether only the paths of `dataset.roots` changed, not their number or weights."""
    if line.key != "dataset.roots" or not (isinstance(line.first, list) and isinstance(line.second, list)):
        return False
    old, new = ([{**root, "path": None} for root in roots] for roots in (line.first, line.second))
    return old == new


def _refuse_other_classes(folder: Path, data: Mapping[str, Any], parts: Assembly) -> None:
    old, new = list(data["classes"]), list(parts["classes"])
    if old == new:
        return
    missing, added = [name for name in old if name not in new], [name for name in new if name not in old]
    parts_ = [
        f"{word} {', '.join(map(repr, names[:MAX_SHOWN]))}"
        for word, names in (("missing:", missing), ("new:", added))
        if names
    ]
    raise TrainingError(
        f"The classes of the data have changed since the run in {folder} started"
        f" ({'; '.join(parts_) or 'their order differs'}), so labels would have another meaning: restore the classes,"
        " or start a new run with another --output."
    )


def _warn_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Log a warning if the data or the machine changed."""
    before, current = old["data"].get("examples"), new["data"].get("examples")
    if None not in (before, current) and before != current:
        log.warning(
            "The training split has %d examples; it had %d when the run started. So batches differ from here on.",
            current,
            before,
        )
    elif any(_differs(old["data"], new["data"], name) for name in FILES):
        log.warning("Files of the training split have changed since the run started (names, sizes or contents).")
    for name, value in new["machine"].items():
        if old["machine"].get(name) != value:
            log.warning(
                "The run started with %s: %s, and continues with %s. Results differ by rounding from those of a run"
                " without interruption.",
                name,
                old["machine"].get(name),
                value,
            )


def _differs(old: Mapping[str, Any], new: Mapping[str, Any], name: str) -> bool:
    """Return whether both mappings have the key, with different values."""
    return name in old and name in new and old[name] != new[name]


def _read(folder: Path) -> dict[str, Any]:
    record = storage.read_json(folder / RECORD)
    try:
        if record["format"] != FORMAT:
            raise TrainingError(
                f"{folder / RECORD} does not have format {FORMAT}. Use the NanoGen version that wrote it, or start a"
                " new run."
            )
        return {
            "format": FORMAT,
            "data": {**record["data"], "classes": list(record["data"]["classes"])},
            "machine": dict(record["machine"]),
            "changes": list(record["changes"]),
            **({"init": dict(record["init"])} if "init" in record else {}),
        }
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{folder / RECORD} is corrupt: restore it from a copy, or start a new run.") from error


def _config(folder: Path) -> dict[str, Any] | None:
    try:
        return yaml_files.read(folder / CONFIG) if is_file(folder / CONFIG) else None
    except NanoGenError:
        return None
