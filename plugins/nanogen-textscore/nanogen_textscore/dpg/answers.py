"""VQA models for DPG-Bench, and the answer file of the original tool."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

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
from nanogen_textscore.protocols import ImageKey

_LINE = re.compile(r"(?P<path>.*?), \((?P<tile>(?:[0-9]{1,9}, ){3}[0-9]{1,9})\), (?P<question>.*), (?P<answer>[^,]*)")


class Answer(NamedTuple):
    """One line of the original tool's answer file."""

    path: str  # the image file
    tile: Tile
    question: str
    answer: str


class BlipVQA:
    """BLIP (Li et al., arXiv 2201.12086) through transformers.

    The published scores use mPLUG, which transformers lacks. Scores from BLIP are not comparable with published ones.
    """

    def __init__(self, config: BlipVQAConfig):
        self._config = config
        self._model = Model(config.path, "vqa.path")
        self._device = torch.device("cpu")

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"kind": "BLIP (transformers), not the official mPLUG", **self._model.settings}

    def to(self, device: torch.device | str) -> BlipVQA:
        """Run later calls on a device. Returns self."""
        self._device = torch.device(device)
        return self

    @torch.no_grad()
    def answer(self, image: Image.Image, questions: Sequence[str], key: ImageKey) -> list[str]:
        """Answer questions about an image one at a time, without padding. `key` is not used."""
        pixels = self._processor(images=image, return_tensors="pt")["pixel_values"].to(self._device)
        network = self._network.to(self._device)
        answers = []
        for question in questions:
            tokens = self._tokenizer(question, return_tensors="pt").to(self._device)
            inputs = {"input_ids": tokens["input_ids"], "attention_mask": tokens["attention_mask"]}
            output = network.generate(pixel_values=pixels, **inputs, max_new_tokens=self._config.max_tokens)
            answers.append(self._tokenizer.decode(output[0], skip_special_tokens=True).strip())
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
    """Answers from a file of the original tool.

    With mPLUG's answers and `first_row: skipped`, scores are comparable with published ones.
    """

    def __init__(self, config: RecordedAnswersConfig):
        self._config = config

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        return {"kind": "answers in a file", "model": self._config.model, "answers": content_hash(self._file)}

    def to(self, device: torch.device | str) -> RecordedAnswers:
        """Return self. Recorded answers need no device."""
        return self

    def answer(self, image: Image.Image, questions: Sequence[str], key: ImageKey) -> list[str]:
        """Return the recorded answers for `key`. Raises DataError for a question without an answer."""
        known = self._answers.get(key, {})
        missing = [question for question in questions if question not in known]
        if missing:
            raise DataError(
                f"{self._file} has no answer to {missing[0]!r} for image {key.number} of the prompt {key.item!r}. Run "
                "the original tool to the end, or choose another `vqa`."
            )
        return [known[question] for question in questions]

    @cached_property
    def _file(self) -> Path:
        return benchmark_file(self._config.file, "vqa.file", "answers")

    @cached_property
    def _answers(self) -> Mapping[ImageKey, Mapping[str, str]]:
        """The answers by image and question."""
        found: dict[ImageKey, dict[str, str]] = {}
        for one in read_answers(self._file):
            key = ImageKey(Path(one.path).name.split(".")[0], self._number(one.tile))
            found.setdefault(key, {})[one.question] = one.answer
        return found

    def _number(self, tile: Tile) -> int:
        """Return the number of a tile in its grid, from 0."""
        known = tiles(tile[2] - tile[0])
        if tile not in known:
            raise DataError(
                f"{self._file} has the box {tile}, which is not a cell of a 2 x 2 grid. Set `vqa.file` to an answer "
                "file of the DPG-Bench tool."
            )
        return known.index(tile)


def read_answers(file: Path) -> list[Answer]:
    """Read a `..._detail.txt` file of the original tool. Raises DataError for a line in another format."""
    found = []
    for number, line in enumerate(text_files.lines(text_files.read(file)), start=1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise DataError(
                f"Line {number} of {file} is not of the form `path, (l, t, r, b), question, answer`. Write the file "
                "again with the original tool."
            )
        left, top, right, bottom = (int(edge) for edge in match["tile"].split(", "))
        found.append(Answer(match["path"], (left, top, right, bottom), match["question"], match["answer"]))
    return found


def write_answers(file: Path, answers: Iterable[Answer]) -> None:
    """Write answers in the format that `read_answers` reads."""
    write_text(file, "".join(f"{one.path}, {one.tile}, {one.question}, {one.answer}\n" for one in answers))
