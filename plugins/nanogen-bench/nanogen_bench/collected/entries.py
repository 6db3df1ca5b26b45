"""One run with its scores: the raw material of a table."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import evolve, frozen

from nanogen_core.config import CONFIG
from nanogen_core.errors import DataError, NanoGenError, shown
from nanogen_eval.record import FILE, read_scores
from nanogen_eval.score import Score
from nanogen_files import yaml_files
from nanogen_files.reading import is_file, user_path

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
    """The runs that `[NAME=]FOLDER` name.

    Raises DataError for a folder that is no judged run, and for two runs of one model with the same task and seed.
    """
    found = [entry(place) for place in places]
    _refuse_twins(found)
    return found


def readable(places: Sequence[str]) -> tuple[list[Entry], list[str]]:
    """The runs that can be read, and a sentence for each of the others.

    Raises DataError if none can be read, and for two runs of one model with the same task and seed.
    """
    found, left_out = [], []
    for place in places:
        try:
            found.append(entry(place))
        except NanoGenError as error:
            left_out.append(str(error).partition("\n")[0])
    if not found:
        raise DataError(f"None of the {len(places)} runs can be read. The first: {left_out[0]}")
    _refuse_twins(found)
    return found, left_out


def _refuse_twins(found: Sequence[Entry]) -> None:
    seen: dict[tuple[str, str, int], Path] = {}
    for one in found:
        key = (one.model, one.task, one.seed)
        if key in seen:
            raise DataError(
                f"{seen[key]} and {one.folder} are both {one.model!r} on {one.task} with the seed {one.seed}: leave one"
                " out, or name them apart as NAME=FOLDER."
            )
        seen[key] = one.folder


def entry(place: str) -> Entry:
    """The run in `FOLDER`, called after it, or in `NAME=FOLDER`.

    Raises DataError or ConfigError if it is no run, has no scores, or a file of it is damaged.
    """
    name, equals, folder = place.partition("=")
    path = user_path(folder if equals else place)
    if not is_file(path / CONFIG):
        raise DataError(f"{path} is no folder of a run: it has no {CONFIG}.")
    if not is_file(path / FILE):
        raise DataError(f"The run in {path} has no scores yet: `nanogen evaluate {path}` measures them.")
    config = yaml_files.read(path / CONFIG)
    task, tokenizer, seed = _slot(config, "task", path), _slot(config, "tokenizer", path), config.get("seed")
    if type(seed) is not int:
        raise _damaged(path, "seed", "a whole number", seed)
    return Entry(
        model=name if equals else called(path, task),
        family=_slot(config, "method", path) if config.get("method") else tokenizer,
        tokenizer=tokenizer,
        task=task,
        seed=seed,
        folder=path,
        scores=_scores(path),
        config=config,
    )


def _scores(path: Path) -> dict[str, Score]:
    """The scores by name. Raises DataError if there is none."""
    found = {score.metric: score for score in read_scores(path)}
    if not found:
        raise DataError(f"{path / FILE} holds no score: `nanogen evaluate {path}` measures them.")
    return found


def called(folder: Path, task: str) -> str:
    """The last part of the path that names neither a seed nor the task: `runs/t2i/rae/seed-0` is `rae`."""
    parts = folder.resolve().parts[1:]
    return next((part for part in reversed(parts) if part != task and not _SEED.fullmatch(part)), folder.name)


def seedless(score: Score) -> Score:
    """The score without its sampling seeds, to compare the settings of two runs."""
    return evolve(score, seeds=())


def _slot(config: Mapping[str, Any], key: str, path: Path) -> str:
    """The name of the component in a slot."""
    slot = config.get(key)
    name = slot.get("name") if isinstance(slot, Mapping) else slot
    if not isinstance(name, str):
        raise _damaged(path, key, "the name of a component", name)
    return name


def _damaged(path: Path, key: str, expected: str, value: object) -> DataError:
    return DataError(f"{path / CONFIG} is damaged: `{key}` must be {expected}, and is {shown(value)}.")
