"""The official prompts and questions: `dpg_bench.csv`, and the prompts' texts by their ids."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from io import StringIO
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from nanogen_core.errors import DataError
from nanogen_core.evaluation.sources.folder import natural
from nanogen_textscore.files import text_of

COLUMNS = ("item_id", "proposition_id", "dependency", "tuple", "question_natural_language")


class Question(NamedTuple):
    """`parents` are the numbers of the questions that this one makes no sense without; `about` is the file's tuple,
    such as `attribute - color (cat, red)`."""

    text: str
    parents: tuple[int, ...]
    about: str


Items = Mapping[str, Mapping[int, Question]]  # id of a prompt -> number of a question -> question, in the file's order


def read_questions(text: str, *, skip_first_row: bool = False, source: str = "dpg_bench.csv") -> Items:
    """The questions of a CSV's text. Both published loaders skip its first row of data, and so lose one question.

    The rows of an item stand together. Raises DataError, with the row's number, for what is not of that form.
    """
    reader = csv.DictReader(StringIO(text))
    missing = sorted(set(COLUMNS) - set(reader.fieldnames or ()))
    if missing:
        raise DataError(f"{source} has no columns {', '.join(missing)}: fetch the official file again.")
    rows = list(enumerate(reader, start=1))[int(skip_first_row) :]
    items = {
        item: dict(_question(number, row, source) for number, row in those)
        for item, those in groupby(rows, key=lambda pair: pair[1]["item_id"])
    }
    if not items:
        raise DataError(f"{source} has no questions: fetch the official file again.")
    return items


def read_prompts(path: Path) -> dict[str, str]:
    """Texts by id, of a folder of `<id>.txt` or an `id2prompt.json`: in the order in which their images are read."""
    prompts = {file.stem: text_of(file) for file in path.glob("*.txt")} if path.is_dir() else _json(path)
    if not prompts:
        raise DataError(f"{path} has no prompts: name the official folder `prompts` or an id2prompt.json.")
    return {item: prompts[item] for item in sorted(prompts, key=lambda item: natural(f"{item}.png"))}


def _question(number: int, row: Mapping[str, str], source: str) -> tuple[int, Question]:
    try:
        parents = tuple(int(parent) for parent in row["dependency"].split(","))
        return int(row["proposition_id"]), Question(row["question_natural_language"], parents, row["tuple"])
    except (ValueError, AttributeError, TypeError) as error:
        raise DataError(
            f"Row {number} of {source} has no whole numbers as its proposition_id and dependency ({error}): fetch the "
            f"official file again."
        ) from error


def _json(path: Path) -> dict[str, str]:
    try:
        found = json.loads(text_of(path))
    except ValueError as error:
        raise DataError(
            f"{path} is no JSON ({error}): name the official folder `prompts` or an id2prompt.json."
        ) from error
    if not isinstance(found, dict) or not all(isinstance(text, str) for text in found.values()):
        raise DataError(f"{path} is no JSON object of texts by id: name the official folder `prompts`.")
    return found
