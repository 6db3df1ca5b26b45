"""Files of scores: `scores.json` with the newest score of each name and fingerprint, `scores.jsonl` with every score.

{"format": 1, "scores": [{"metric": "accuracy", "value": 0.93, "spread": 0.01, "fingerprint": "9f86d081884c7d65",
  "higher_is_better": true, "n": 1024, "component": "openmoji-accuracy", "values": [0.92, 0.94], "seeds": [0, 1],
  "interval": {"low": 0.91, "high": 0.95, "level": 0.95, "method": "BCa", "units": 1024, "draws": 1000} or null,
  "settings": {...}, "about": {...}, "sha256": "5e88..."}]}

`sha256` is the hash of the other values of the entry, see `nanogen_eval.seal`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nanogen_core.errors import ConfigError, DataError
from nanogen_eval import seal
from nanogen_eval.score import Score
from nanogen_files import storage
from nanogen_files.structure import plain, structure

FILE = "scores.json"
HISTORY = "scores.jsonl"
FORMAT = 1
DERIVED = ("spread", "fingerprint", seal.SEAL)  # keys of an entry that are not fields of Score


def write_scores(folder: Path, scores: Iterable[Score], *, note: Path | None = None) -> Path:
    """Add scores to both files. In `scores.json`, they replace scores of equal name and fingerprint.

    Args:
        folder: Folder of both files.
        scores: The new scores.
        note: File that records where these scores begin in `scores.jsonl`. While it exists, a repeated call does not
            append the same scores again.

    Returns:
        The path of `scores.json`.
    """
    new = list(scores)
    taken = {(score.metric, score.fingerprint) for score in new}
    path = folder / FILE
    old = read_scores(path) if path.exists() else []
    kept = [score for score in old if (score.metric, score.fingerprint) not in taken]
    entries = [seal.sealed(as_dict(score)) for score in [*kept, *new]]
    storage.write_json(path, {"format": FORMAT, "scores": entries})
    lines = "".join(json.dumps(as_dict(score), ensure_ascii=False) + "\n" for score in new)
    _append(folder / HISTORY, lines.encode(), note)
    return path


def _append(history: Path, lines: bytes, note: Path | None) -> None:
    """Append the lines that the history does not contain yet."""
    known = history.read_bytes() if history.exists() else b""
    begin = len(known) if note is None or not note.exists() else int(seal.read(note)["begin"])
    if begin > len(known) or not lines.startswith(known[begin:]):  # another program has added lines
        begin = len(known)
    if note is not None:
        seal.write(note, {"begin": begin})
    written = known[begin:]
    broken = not written and known[-1:] not in (b"", b"\n")  # the last line lacks its line end
    with history.open("ab") as file:
        file.write((b"\n" if broken else b"") + lines[len(written) :])


def read_scores(path: Path | str) -> list[Score]:
    """Read the scores in a file `scores.json`, or in the `scores.json` of a folder.

    Raises:
        DataError: The file is missing or damaged, or a score was edited.
    """
    path = Path(path)
    path = path / FILE if path.is_dir() else path
    content = storage.read_json(path)
    if not isinstance(content, Mapping) or content.get("format") != FORMAT:
        raise DataError(f"{path} is not a scores file of format {FORMAT}. Give a file that `nanogen evaluate` wrote.")
    if not isinstance(content.get("scores"), list):
        raise DataError(f"{path} is damaged: `scores` must be a list. Delete the file and evaluate again.")
    return [_read(entry, path) for entry in content["scores"]]


def as_dict(score: Score) -> dict[str, Any]:
    """Return the score as JSON values, including its spread and fingerprint."""
    values = plain(score)
    values["interval"] = None if score.interval is None else plain(score.interval)
    return {**values, "spread": score.spread, "fingerprint": score.fingerprint}


def _read(entry: Any, path: Path) -> Score:
    try:
        values = {key: value for key, value in entry.items() if key not in DERIVED}
        score = structure(values, Score, "score", finite=False)
    except (ConfigError, AttributeError) as error:
        raise DataError(f"{path} is damaged: {error}. Delete the file and evaluate again.") from error
    if score.fingerprint != entry.get("fingerprint"):
        raise DataError(
            f"{path}: the settings of {score.metric!r} do not match its fingerprint. The entry is damaged or was"
            " edited. Delete the entry and evaluate again."
        )
    if seal.SEAL in entry and not seal.is_sealed(entry):
        raise DataError(
            f"{path}: the entry of {score.metric!r} is damaged or was edited (its SHA-256 does not match). Delete the"
            " entry and evaluate again."
        )
    return score
