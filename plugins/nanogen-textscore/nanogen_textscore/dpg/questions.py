"""Reads the official prompts and questions of DPG-Bench."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from nanogen_core.errors import DataError
from nanogen_data.notes import warn_once
from nanogen_data.pictures import is_hidden
from nanogen_eval.sources.folder import natural
from nanogen_files import csv_files, json_files, text_files
from nanogen_files.reading import entries, is_folder

COLUMNS = ("item_id", "proposition_id", "dependency", "tuple", "question_natural_language")
DOWNLOAD = "Download dpg_bench.csv from the folder dpg_bench of github.com/TencentQQGYLab/ELLA again."
log = logging.getLogger(__name__)
_NUMBER = re.compile(r"-?[0-9]{1,18}")


class Question(NamedTuple):
    """A yes/no question about an image."""

    text: str
    parents: tuple[int, ...]  # numbers of the questions that it depends on
    about: str  # its category and entities, such as `attribute - color (cat, red)`


Items = Mapping[str, Mapping[int, Question]]  # id of a prompt -> number of a question -> question, in file order


def read_questions(text: str, *, skip_first_row: bool = False, source: str = "dpg_bench.csv") -> Items:
    """Parse the questions of a `dpg_bench.csv`.

    If a prompt has two questions with the same number, the last one is used, as in the published code.
    A warning names the first such number.

    Args:
        text: The content of the file.
        skip_first_row: Whether to drop the first row of data, as the loaders of ELLA and DiffusionBench do.
        source: The name of the file, for error messages and warnings.

    Raises:
        DataError: A row has another format, the rows of a prompt are not consecutive, or there are no questions.
    """
    rows = list(csv_files.parse(text, source, COLUMNS))[int(skip_first_row) :]
    items: dict[str, Mapping[int, Question]] = {}
    for item, group in groupby(rows, key=lambda row: row.cells["item_id"]):
        members = list(group)
        if item in items:
            raise DataError(
                f"Line {members[0].line} of {source} has another question of the prompt {item!r}, but the rows of a "
                "prompt must be consecutive. Sort the rows by item_id."
            )
        items[item] = _questions(members, source)
    if not items:
        raise DataError(f"{source} has no questions. {DOWNLOAD}")
    return items


def read_prompts(path: Path) -> dict[str, str]:
    """Read prompts from a folder of `<id>.txt` files or an `id2prompt.json`.

    Returns:
        The texts by id, in the order in which `nanogen evaluate` reads the image files.

    Raises:
        DataError: There are no prompts, or the file has another format.
    """
    prompts = _texts(path) if is_folder(path) else _json(path)
    if not prompts:
        raise DataError(f"{path} has no prompts. Set `prompts` to the official folder or to an id2prompt.json.")
    return {item: prompts[item] for item in sorted(prompts, key=lambda item: natural(f"{item}.png"))}


def _questions(rows: Sequence[csv_files.Row], source: str) -> dict[int, Question]:
    """Return the questions of a prompt by number."""
    found: dict[int, Question] = {}
    for row in rows:
        number, question = _question(row, source)
        if number in found:
            warn_once(
                log,
                f"Line {row.line} of {source} repeats the question number {number} of the prompt "
                f"{row.cells['item_id']!r}. The question of this line is used, as in the published code.",
                topic=f"question numbers of {source}",
            )
        found[number] = question
    return found


def _question(row: csv_files.Row, source: str) -> tuple[int, Question]:
    cells = row.cells
    numbers = [cells["proposition_id"], *cells["dependency"].split(",")]
    if not all(_NUMBER.fullmatch(number.strip()) for number in numbers):
        raise DataError(
            f"Line {row.line} of {source} is invalid: proposition_id must be a whole number, and dependency one or "
            f"more whole numbers with commas between. {DOWNLOAD}"
        )
    number, *parents = map(int, numbers)
    return number, Question(cells["question_natural_language"], tuple(parents), cells["tuple"])


def _texts(folder: Path) -> dict[str, str]:
    files = [folder / entry.name for entry in entries(folder) if not is_hidden(entry.name) and entry.is_file()]
    return {file.stem: text_files.read(file) for file in files if file.suffix == ".txt"}


def _json(path: Path) -> dict[str, str]:
    found = json_files.read(path)
    if not isinstance(found, dict) or not all(isinstance(text, str) for text in found.values()):
        raise DataError(
            f'{path} is not of the form {{"<id>": "<prompt>"}}. Set `prompts` to the official folder or to an '
            "id2prompt.json."
        )
    return found
