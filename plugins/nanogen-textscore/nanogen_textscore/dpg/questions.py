"""Reads the official prompts and questions of DPG-Bench."""

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
    """A yes/no question about an image."""

    text: str
    parents: tuple[int, ...]  # numbers of the questions that it depends on
    about: str  # its category and entities, such as `attribute - color (cat, red)`


Items = Mapping[str, Mapping[int, Question]]  # id of a prompt -> number of a question -> question, in file order


def read_questions(text: str, *, skip_first_row: bool = False, source: str = "dpg_bench.csv") -> Items:
    """Parse the questions of a `dpg_bench.csv`. The rows of a prompt must be consecutive.

    Args:
        text: The content of the file.
        skip_first_row: Whether to drop the first row of data, as the loaders of ELLA and DiffusionBench do.
        source: The name of the file, for error messages.

    Raises:
        DataError: A row has another format, or there are no questions.
    """
    rows = list(csv_files.parse(text, source, COLUMNS))[int(skip_first_row) :]
    items = {
        item: dict(_question(row, source) for row in group)
        for item, group in groupby(rows, key=lambda row: row.cells["item_id"])
    }
    if not items:
        raise DataError(f"{source} has no questions. Download the official file again.")
    return items


def read_prompts(path: Path) -> dict[str, str]:
    """Read prompts from a folder of `<id>.txt` files or an `id2prompt.json`.

    Returns:
        The texts by id, in the order in which `nanogen evaluate` reads the files of their images.

    Raises:
        DataError: There are no prompts, or the file has another format.
    """
    prompts = _texts(path) if is_folder(path) else _json(path)
    if not prompts:
        raise DataError(f"{path} has no prompts. Give the official folder `prompts`, or an id2prompt.json.")
    return {item: prompts[item] for item in sorted(prompts, key=lambda item: natural(f"{item}.png"))}


def _question(row: csv_files.Row, source: str) -> tuple[int, Question]:
    cells = row.cells
    numbers = [cells["proposition_id"], *cells["dependency"].split(",")]
    if not all(_NUMBER.fullmatch(number.strip()) for number in numbers):
        raise DataError(
            f"Line {row.line} of {source} has a proposition_id or dependency that is not a whole number. Download the "
            "official file again."
        )
    number, *parents = map(int, numbers)
    return number, Question(cells["question_natural_language"], tuple(parents), cells["tuple"])


def _texts(folder: Path) -> dict[str, str]:
    files = [folder / entry.name for entry in entries(folder) if not is_hidden(entry.name) and entry.is_file()]
    return {file.stem: text_files.read(file) for file in files if file.suffix == ".txt"}


def _json(path: Path) -> dict[str, str]:
    found = json_files.read(path)
    if not isinstance(found, dict) or not all(isinstance(text, str) for text in found.values()):
        raise DataError(f"{path} is not a JSON object of texts by id. Give the official folder `prompts`.")
    return found
