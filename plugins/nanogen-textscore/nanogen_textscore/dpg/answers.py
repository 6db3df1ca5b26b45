"""Who answers the questions on a picture: a network, or the file of answers that the original tool wrote."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from PIL import Image

from nanogen_core.errors import DataError
from nanogen_files import text_files
from nanogen_files.hashing import content_hash
from nanogen_files.storage import write_text
from nanogen_textscore.config import BlipVQAConfig, RecordedAnswersConfig
from nanogen_textscore.dpg.grids import Tile, tiles
from nanogen_textscore.files import benchmark_file
from nanogen_textscore.models import Model

_LINE = re.compile(r"(?P<path>.*?), \((?P<tile>(?:[0-9]{1,9}, ){3}[0-9]{1,9})\), (?P<question>.*), (?P<answer>[^,]*)")


class Place(NamedTuple):
    """Which picture it is: the id of its prompt, and its number among those of the prompt."""

    item: str
    number: int


class Answerer(Protocol):
    """An encoder that provides `vqa`."""

    settings: Mapping[str, Any]

    def to(self, device: torch.device | str) -> object:
        """Where it computes from now on."""

    def answer(self, picture: Image.Image, questions: Sequence[str], place: Place) -> Sequence[str]:
        """The answers to the questions on a picture [RGB], in lower case: `yes`, `no` or others."""


class Answer(NamedTuple):
    """One line of the original tool's file."""

    path: str
    tile: Tile
    question: str
    answer: str


class BlipVQA:
    """BLIP (Li et al., arXiv 2201.12086) through transformers. **Not** mPLUG, the judge of the published scores, which
    transformers does not have: its scores compare with each other alone."""

    def __init__(self, config: BlipVQAConfig):
        self._config = config
        self._model = Model(config.path, "vqa.path")
        self._device = torch.device("cpu")

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"kind": "BLIP (transformers), not the official mPLUG", **self._model.settings}

    def to(self, device: torch.device | str) -> BlipVQA:
        self._device = torch.device(device)
        return self

    @torch.no_grad()
    def answer(self, picture: Image.Image, questions: Sequence[str], place: Place) -> list[str]:
        pixels = self._processor(images=picture, return_tensors="pt")["pixel_values"].to(self._device)
        network = self._network.to(self._device)
        answers = []
        for question in questions:  # one by one: what an answer is depends on no other question's length
            tokens = self._tokenizer(question, return_tensors="pt").to(self._device)
            asked = {"input_ids": tokens["input_ids"], "attention_mask": tokens["attention_mask"]}
            written = network.generate(pixel_values=pixels, **asked, max_new_tokens=self._config.max_tokens)
            answers.append(self._tokenizer.decode(written[0], skip_special_tokens=True).strip())
        return answers

    @cached_property
    def _network(self) -> Any:
        from transformers import BlipForQuestionAnswering

        return self._model.network(BlipForQuestionAnswering, dtype=torch.float32)

    @cached_property
    def _processor(self) -> Any:
        from transformers import BlipImageProcessorPil

        return self._model.helper(BlipImageProcessorPil)

    @cached_property
    def _tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        return self._model.helper(AutoTokenizer)


class RecordedAnswers:
    """Answers that another program wrote down, mPLUG's for example: then a score is the published one."""

    def __init__(self, config: RecordedAnswersConfig):
        self._config = config

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        return {"kind": "answers in a file", "model": self._config.model, "answers": content_hash(self._file)}

    def to(self, device: torch.device | str) -> RecordedAnswers:
        return self

    def answer(self, picture: Image.Image, questions: Sequence[str], place: Place) -> list[str]:
        """Raises DataError where the file does not answer one of them."""
        known = self._answers.get(place, {})
        missing = [question for question in questions if question not in known]
        if missing:
            raise DataError(
                f"{self._file} has no answer for picture {place.number} of {place.item!r} to {missing[0]!r}: let the "
                f"original tool finish, or choose another `vqa`."
            )
        return [known[question] for question in questions]

    @cached_property
    def _file(self) -> Path:
        return benchmark_file(self._config.file, "vqa.file", "answers")

    @cached_property
    def _answers(self) -> Mapping[Place, Mapping[str, str]]:
        """By picture and question."""
        found: dict[Place, dict[str, str]] = {}
        for one in read_answers(self._file):
            place = Place(Path(one.path).name.split(".")[0], self._number(one.tile))
            found.setdefault(place, {})[one.question] = one.answer
        return found

    def _number(self, tile: Tile) -> int:
        """Which of a grid's four tiles it is."""
        known = tiles(tile[2] - tile[0])
        if tile not in known:
            raise DataError(f"{tile} in {self._file} is no tile of a grid: name a file of the original tool.")
        return known.index(tile)


def read_answers(file: Path) -> list[Answer]:
    """The lines of a `..._detail.txt`. Raises DataError, with the number, for one that is not of that form."""
    found = []
    for number, line in enumerate(text_files.lines(text_files.read(file)), start=1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise DataError(f"Line {number} of {file} is no `path, (l, t, r, b), question, answer`: write it again.")
        left, top, right, bottom = (int(edge) for edge in match["tile"].split(", "))
        found.append(Answer(match["path"], (left, top, right, bottom), match["question"], match["answer"]))
    return found


def write_answers(file: Path, answers: Iterable[Answer]) -> None:
    """The same lines."""
    write_text(file, "".join(f"{one.path}, {one.tile}, {one.question}, {one.answer}\n" for one in answers))
