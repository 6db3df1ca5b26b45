"""The official folders and result files, so that the original tools read ours and the other way round."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from nanogen_core.errors import DataError
from nanogen_data.pictures import read_image
from nanogen_files import json_files
from nanogen_files.storage import write_text
from nanogen_textscore.geneval.detections import Detection
from nanogen_textscore.geneval.metadata import fault_of

METADATA, SAMPLES = "metadata.jsonl", "samples"
_HOME = re.compile(r"[0-9]{1,18}")
_SAMPLE = re.compile(r"[0-9]{1,18}\.png")


class Sample(NamedTuple):
    """One picture of an official folder: the line of its prompt, and its file."""

    line: Mapping[str, Any]
    file: Path

    def picture(self) -> Image.Image:
        """As RGB. Raises DataError for a damaged file."""
        return read_image(self.file)


def lay_out(folder: Path, lines: Sequence[Mapping[str, Any]], each: int) -> list[Path]:
    """Writes `00012/metadata.jsonl` for each prompt, and gives the place of each of its `each` pictures:
    `00012/samples/00003.png`."""
    places = []
    for number, line in enumerate(lines):
        home = folder / f"{number:05d}"
        write_text(home / METADATA, json.dumps(dict(line)))
        places += [home / SAMPLES / f"{place:05d}.png" for place in range(each)]
    return places


def samples(folder: Path) -> Iterator[Sample]:
    """The pictures of an official folder in the order of their numbers. Raises DataError where it has none."""
    homes = sorted((home for home in folder.glob("*") if _HOME.fullmatch(home.name)), key=lambda home: int(home.name))
    if not homes:
        raise DataError(f"{folder} has no folders such as 00000 with {METADATA} and {SAMPLES}/00000.png: name one.")
    for home in homes:
        line = json_files.read(home / METADATA)
        if fault := fault_of(line):
            raise DataError(f"{home / METADATA} {fault}: write the folder again.")
        files = [file for file in (home / SAMPLES).glob("*.png") if _SAMPLE.fullmatch(file.name)]
        yield from (Sample(line, file) for file in sorted(files, key=lambda file: int(file.stem)))


def result(
    file: str, line: Mapping[str, Any], correct: bool, reason: str, found: Mapping[str, list[Detection]]
) -> dict[str, Any]:
    """A line of the official results; `details` has [x1, y1, x2, y2, score] for each detection that counted."""
    details = {name: [[*one.box, one.score] for one in those] for name, those in found.items()}
    return {
        "filename": file,
        "tag": line["tag"],
        "prompt": line["prompt"],
        "correct": correct,
        "reason": reason,
        "metadata": json.dumps(dict(line)),
        "details": json.dumps(details),
    }


def write_results(file: Path, results: Iterable[Mapping[str, Any]]) -> None:
    """One line of JSON an image."""
    write_text(file, "".join(json.dumps(dict(one)) + "\n" for one in results))


def read_results(file: Path) -> list[dict[str, Any]]:
    """The results of this or of the original tool. Raises DataError for a line without a tag and a verdict."""
    results = list(json_files.objects(file))
    for number, one in results:
        words = [one.get("tag"), one.get("metadata", ""), one.get("prompt", "")]
        if not isinstance(one.get("correct"), bool) or not all(isinstance(word, str) for word in words):
            raise DataError(f"Line {number} of {file} has no `tag` and `correct`: name a results file of GenEval.")
    return [one for _, one in results]
