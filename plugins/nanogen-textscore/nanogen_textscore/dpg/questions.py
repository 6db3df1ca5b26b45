"""The official prompts and questions: `dpg_bench.csv`, and the prompts' texts by their ids."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from nanogen_core.errors import DataError
from nanogen_data.pictures import is_hidden
from nanogen_eval.sources.folder import natural
from nanogen_files import csv_files, json_files, text_files
from nanogen_files.reading import entries, is_folder

COLUMNS = ("item_id", "proposition_id", "dependency", "tuple", "question_natural_language")
_NUMBER = re.compile(r"-?[0-9]{1,18}")


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
    rows = list(csv_files.parse(text, source, COLUMNS))[int(skip_first_row) :]
    items = {
        item: dict(_question(row, source) for row in those)
        for item, those in groupby(rows, key=lambda row: row.cells["item_id"])
    }
    if not items:
        raise DataError(f"{source} has no questions: fetch the official file again.")
    return items


def read_prompts(path: Path) -> dict[str, str]:
    """Texts by id, of a folder of `<id>.txt` or an `id2prompt.json`: in the order in which their images are read."""
    prompts = _texts(path) if is_folder(path) else _json(path)
    if not prompts:
        raise DataError(f"{path} has no prompts: name the official folder `prompts` or an id2prompt.json.")
    return {item: prompts[item] for item in sorted(prompts, key=lambda item: natural(f"{item}.png"))}


def _question(row: csv_files.Row, source: str) -> tuple[int, Question]:
    cells = row.cells
    numbers = [cells["proposition_id"], *cells["dependency"].split(",")]
    if not all(_NUMBER.fullmatch(number.strip()) for number in numbers):
        raise DataError(
            f"Line {row.line} of {source} has no whole numbers as its proposition_id and dependency: fetch the "
            f"official file again."
        )
    number, *parents = map(int, numbers)
    return number, Question(cells["question_natural_language"], tuple(parents), cells["tuple"])


def _texts(folder: Path) -> dict[str, str]:
    files = [folder / entry.name for entry in entries(folder) if not is_hidden(entry.name) and entry.is_file()]
    return {file.stem: text_files.read(file) for file in files if file.suffix == ".txt"}


def _json(path: Path) -> dict[str, str]:
    found = json_files.read(path)
    if not isinstance(found, dict) or not all(isinstance(text, str) for text in found.values()):
        raise DataError(f"{path} is no JSON object of texts by id: name the official folder `prompts`.")
    return found
