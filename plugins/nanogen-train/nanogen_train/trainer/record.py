"""`run.json`: the data and the machine that a run began with, and every change that a resume made."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from nanogen_core.assembly import AbsentDataset, Assembly
from nanogen_core.config import CONFIG
from nanogen_core.config_diff import Difference, differences
from nanogen_core.errors import DataError, NanoGenError, TrainingError
from nanogen_data.precomputed import identity
from nanogen_files import storage, yaml_files
from nanogen_files.reading import is_file
from nanogen_train.distributed import processes
from nanogen_train.trainer.run_folder import RECORD

log = logging.getLogger(__name__)

FORMAT = 1
HISTORY = "history"  # folder of the configurations that a resume replaced
SHOWN = 4
FILES = ("files", "contents")  # of the data: hashes that tell whether the files are the same
#: What a resume may change. The weights of later steps do not depend on it, or only by rounding.
PERMITTED = (
    "train.steps",
    "train.log_every",
    "train.sample_every",
    "train.sample_count",
    "train.checkpoint_every",
    "train.keep_last",
    "train.keep_every",
    "train.num_workers",
    "train.trackers",
    "train.strategy",
    "train.shard_by",
    "train.grad_accum_steps",
    "train.compile",
    "train.activation_checkpointing",
    "train.cache_latents",
    "train.precomputed_latents",
    "dataset.root",
    "sampler",
    "metric",
)


def begun(parts: Assembly, precision: str) -> dict[str, Any]:
    """The record of a run that begins: its data, and what the last bits of its numbers depend on."""
    return {"format": FORMAT, "data": data_of(parts), "machine": machine(precision), "changes": []}


def machine(precision: str) -> dict[str, Any]:
    return {"processes": processes.world(), "threads": torch.get_num_threads(), "precision": precision}


def data_of(parts: Assembly) -> dict[str, Any]:
    """Class names, and the number and identity of the training examples where they are at hand."""
    facts: dict[str, Any] = {"classes": list(parts["classes"])}
    reading = getattr(parts["task"], "reading", None)
    if reading is None or isinstance(parts["dataset"], AbsentDataset):
        return facts
    try:
        found = identity.source_identity(parts, reading("train"))
    except DataError:  # the images are elsewhere: training fails later, where it needs them
        return facts
    return {**facts, **{name: found[name] for name in ("examples", *FILES) if name in found}}


def resumed(folder: Path, parts: Assembly, step: int, precision: str) -> dict[str, Any]:
    """The record of a run that is resumed at `step`, with the changes that this resume makes.

    Raises TrainingError for another configuration or other classes. Other counts, threads and processes are logged.
    """
    record = _read(folder)
    changed = _changed(folder, parts, step)
    _refuse_other_classes(folder, record["data"], parts)
    now = {"data": data_of(parts), "machine": machine(precision)}
    _report(record, now)
    if changed:
        entry = {"step": step, "changed": {line.key: [line.first, line.second] for line in changed}}
        record["changes"] = [*record["changes"], entry]
    return record


def keep_config(folder: Path, new: Mapping[str, Any], step: int) -> None:
    """Keeps the configuration so far under `history/` where the new one is another."""
    old = _config(folder)
    if old is not None and differences(old, new):
        text = (folder / CONFIG).read_text(encoding="utf-8")
        storage.write_text(folder / HISTORY / f"config-until-{step:08d}.yaml", text)


def _changed(folder: Path, parts: Assembly, step: int) -> list[Difference]:
    """The lines that this resume changes. Raises TrainingError for one that must not change."""
    old = _config(folder)
    if old is None:
        raise TrainingError(f"{folder / CONFIG} is missing or damaged, so the run cannot be resumed: restore it.")
    steps = parts.resolved.sections["train"].steps
    if steps < step:
        raise TrainingError(
            f"The run in {folder} has taken {step} steps, and train.steps asks for {steps}: raise train.steps."
        )
    changed = differences(old, parts.resolved.as_dict())
    refused = [line for line in changed if not permitted(line.key)]
    if refused:
        shown = "; ".join(f"{line.key} was {line.first!r} and is {line.second!r}" for line in refused[:SHOWN])
        more = f"; and {len(refused) - SHOWN} more" if len(refused) > SHOWN else ""
        raise TrainingError(
            f"The run in {folder} cannot be resumed with another configuration: {shown}{more}. Resume it as it was, or"
            " start a new run with another --output."
        )
    return changed


def permitted(key: str) -> bool:
    """Whether a resume may change this line of the configuration."""
    return any(key == name or key.startswith(f"{name}.") for name in PERMITTED)


def _refuse_other_classes(folder: Path, data: Mapping[str, Any], parts: Assembly) -> None:
    old, new = list(data["classes"]), list(parts["classes"])
    if old == new:
        return
    gone, added = [name for name in old if name not in new], [name for name in new if name not in old]
    what = [
        f"{word} {', '.join(map(repr, names[:SHOWN]))}"
        for word, names in (("missing:", gone), ("new:", added))
        if names
    ]
    raise TrainingError(
        f"The classes of the data are not those that the run in {folder} began with"
        f" ({'; '.join(what) or 'their order differs'}), so its labels would mean something else: restore the class"
        " folders, or start a new run with another --output."
    )


def _report(old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Logs one sentence for data or a machine that changed."""
    before, now = old["data"].get("examples"), new["data"].get("examples")
    if None not in (before, now) and before != now:
        log.warning(
            "The training split has %d examples; it had %d when the run began. Their order differs.", now, before
        )
    elif any(_differs(old["data"], new["data"], name) for name in FILES):
        log.warning("Files of the training split have other names, sizes or contents than when the run began.")
    for name, value in new["machine"].items():
        if old["machine"].get(name) != value:
            log.warning(
                "The run began with %s: %s, and goes on with %s. Its numbers differ by rounding from those of a run"
                " that was never stopped.",
                name,
                old["machine"].get(name),
                value,
            )


def _differs(old: Mapping[str, Any], new: Mapping[str, Any], name: str) -> bool:
    """Whether both have a value of this name, and not the same one."""
    return name in old and name in new and old[name] != new[name]


def _read(folder: Path) -> dict[str, Any]:
    record = storage.read_json(folder / RECORD)
    try:
        if record["format"] != FORMAT:
            raise TrainingError(f"{folder / RECORD} is of another format than this nanogen-core reads ({FORMAT}).")
        return {
            "format": FORMAT,
            "data": {**record["data"], "classes": list(record["data"]["classes"])},
            "machine": dict(record["machine"]),
            "changes": list(record["changes"]),
        }
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{folder / RECORD} is damaged: restore it, or start a new run.") from error


def _config(folder: Path) -> dict[str, Any] | None:
    try:
        return yaml_files.read(folder / CONFIG) if is_file(folder / CONFIG) else None
    except NanoGenError:
        return None
