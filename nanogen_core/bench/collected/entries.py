"""One run with its scores: the raw material of a table."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import evolve, frozen

from nanogen_core import yaml_files
from nanogen_core.config import CONFIG
from nanogen_core.errors import DataError
from nanogen_core.evaluation.record import FILE, read_scores
from nanogen_core.evaluation.score import Score

_SEED = re.compile(r"seed-\d+")


@frozen(kw_only=True)
class Entry:
    """A run of a model on one task with one seed, and its scores by name: of several of one name the newest."""

    model: str
    family: str
    tokenizer: str
    task: str
    seed: int
    folder: Path
    scores: Mapping[str, Score]
    config: Mapping[str, Any]


def entries(places: Sequence[str]) -> list[Entry]:
    """The runs that `[NAME=]FOLDER` name. Raises DataError for a folder that is no judged run, and for two runs of one
    model with the same task and seed."""
    found = [entry(place) for place in places]
    seen: dict[tuple[str, str, int], Path] = {}
    for one in found:
        key = (one.model, one.task, one.seed)
        if key in seen:
            raise DataError(
                f"{seen[key]} and {one.folder} are both {one.model!r} on {one.task} with the seed {one.seed}: leave one"
                " out, or name them apart as NAME=FOLDER."
            )
        seen[key] = one.folder
    return found


def entry(place: str) -> Entry:
    """The run in `FOLDER`, called after it, or in `NAME=FOLDER`. Raises DataError."""
    name, equals, folder = place.partition("=")
    path = Path(folder if equals else place)
    if not (path / CONFIG).is_file():
        raise DataError(f"{path} is no folder of a run: it has no {CONFIG}.")
    if not (path / FILE).is_file():
        raise DataError(f"The run in {path} has no scores yet: `nanogen evaluate {path}` measures them.")
    config = yaml_files.read(path / CONFIG)
    task = _name(config["task"])
    return Entry(
        model=name if equals else called(path, task),
        family=str(config.get("method") or _name(config["tokenizer"])),
        tokenizer=_name(config["tokenizer"]),
        task=task,
        seed=int(config["seed"]),
        folder=path,
        scores={score.metric: score for score in read_scores(path)},
        config=config,
    )


def called(folder: Path, task: str) -> str:
    """The last part of the path that names neither a seed nor the task: `runs/t2i/rae/seed-0` is `rae`."""
    parts = folder.resolve().parts[1:]
    return next((part for part in reversed(parts) if part != task and not _SEED.fullmatch(part)), folder.name)


def seedless(score: Score) -> Score:
    """The score without the seeds of its samples: what one run may be compared with another by."""
    return evolve(score, seeds=())


def _name(slot: Any) -> str:
    return str(slot["name"] if isinstance(slot, Mapping) else slot)
