"""Readers of run folders: configuration and scores of each run."""

from __future__ import annotations

import os
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
    """A run of a model on one task with one seed, and its newest scores by name."""

    model: str
    family: str
    tokenizer: str
    task: str
    seed: int
    folder: Path
    scores: Mapping[str, Score]
    config: Mapping[str, Any]


def entries(places: Sequence[str]) -> list[Entry]:
    """Read runs, each given as `FOLDER` or `NAME=FOLDER`.

    Raises:
        DataError: A folder is not a run, has no scores or has a damaged file, or two runs of a model have the same task
            and seed.
        ConfigError: A configuration file is not valid YAML.
    """
    found = [entry(place) for place in places]
    _refuse_duplicates(found)
    return found


def readable(places: Sequence[str]) -> tuple[list[Entry], list[str]]:
    """Read runs, each given as `FOLDER` or `NAME=FOLDER`, and skip unreadable ones.

    Returns:
        The runs, and an error message for each unreadable run.

    Raises:
        DataError: No run can be read, or two runs of a model have the same task and seed.
    """
    found, left_out = [], []
    for place in places:
        try:
            found.append(entry(place))
        except NanoGenError as error:
            left_out.append(str(error).partition("\n")[0])
    if not found:
        raise DataError(f"None of the runs can be read. The first error: {left_out[0]}")
    _refuse_duplicates(found)
    return found, left_out


def _refuse_duplicates(found: Sequence[Entry]) -> None:
    seen: dict[tuple[str, str, int], Path] = {}
    for one in found:
        key = (one.model, one.task, one.seed)
        if key in seen:
            raise DataError(
                f"{seen[key]} and {one.folder} are both runs of {one.model!r} on {one.task} with seed {one.seed}:"
                " leave one out, or give them different names as NAME=FOLDER."
            )
        seen[key] = one.folder


def entry(place: str) -> Entry:
    """Read a run, given as `FOLDER` or `NAME=FOLDER`. The default name is part of the path, see `called`.

    A text that is an existing path is a folder, even if it contains `=`.

    Raises:
        DataError: The folder is not a run, has no scores, or has a damaged file.
        ConfigError: The configuration file is not valid YAML.
    """
    name, equals, folder = ("", "", place) if os.path.exists(os.path.expanduser(place)) else place.partition("=")
    path = user_path(folder if equals else place)
    if not is_file(path / CONFIG):
        raise DataError(
            f"{path} is not a run folder: it has no {CONFIG}. Give the folder that `nanogen train --output` wrote."
        )
    if not is_file(path / FILE):
        raise DataError(f"The run in {path} has no scores: run `nanogen evaluate {path}`.")
    config = yaml_files.read(path / CONFIG)
    task, tokenizer, seed = _slot(config, "task", path), _slot(config, "tokenizer", path), config.get("seed")
    if type(seed) is not int:
        raise _damaged(path, "seed", "an integer", seed)
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
    """Return the scores by name. Raises DataError if there are none."""
    found = {score.metric: score for score in read_scores(path)}
    if not found:
        raise DataError(f"{path / FILE} has no scores: run `nanogen evaluate {path}`.")
    return found


def called(folder: Path, task: str) -> str:
    """Return the last part of the path `folder` that names neither a seed nor the task: `rae` for `t2i/rae/seed-0`."""
    parts = folder.resolve().parts[1:]
    return next((part for part in reversed(parts) if part != task and not _SEED.fullmatch(part)), folder.name)


def seedless(score: Score) -> Score:
    """Return the score without its sampling seeds, so that runs with different seeds have equal fingerprints."""
    return evolve(score, seeds=())


def _slot(config: Mapping[str, Any], key: str, path: Path) -> str:
    """Name of the component in a slot of the configuration."""
    slot = config.get(key)
    name = slot.get("name") if isinstance(slot, Mapping) else slot
    if not isinstance(name, str):
        raise _damaged(path, key, "the name of a component", name)
    return name


def _damaged(path: Path, key: str, expected: str, value: object) -> DataError:
    return DataError(
        f"{path / CONFIG} is damaged: `{key}` must be {expected}, not {shown(value)}. Correct the value, or repeat the"
        " run."
    )
