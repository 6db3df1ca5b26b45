"""Reads and writes the image folders and result files of the official GenEval tools."""

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
from nanogen_textscore.geneval.metadata import format_error

METADATA, SAMPLES = "metadata.jsonl", "samples"
_FOLDER = re.compile(r"[0-9]{1,18}")
_SAMPLE = re.compile(r"[0-9]{1,18}\.png")


class Sample(NamedTuple):
    """An image of an official folder."""

    line: Mapping[str, Any]  # the metadata line of its prompt
    file: Path

    def image(self) -> Image.Image:
        """Read the image as RGB. Raises DataError for a damaged file."""
        return read_image(self.file)


def write_layout(folder: Path, lines: Sequence[Mapping[str, Any]], each: int) -> list[Path]:
    """Write `<prompt>/metadata.jsonl` for each prompt, such as `00012/metadata.jsonl`.

    Args:
        folder: The folder to write to.
        lines: The metadata lines of the prompts.
        each: Images per prompt.

    Returns:
        The file of each image, such as `00012/samples/00003.png`.
    """
    files = []
    for number, line in enumerate(lines):
        home = folder / f"{number:05d}"
        write_text(home / METADATA, json.dumps(dict(line)))
        files += [home / SAMPLES / f"{image:05d}.png" for image in range(each)]
    return files


def samples(folder: Path) -> Iterator[Sample]:
    """Yield the images of an official folder in numerical order. Raises DataError for another layout."""
    homes = sorted((home for home in folder.glob("*") if _FOLDER.fullmatch(home.name)), key=lambda home: int(home.name))
    if not homes:
        raise DataError(
            f"{folder} has no folders such as 00000. Give a folder of the official tool, which has files such as "
            f"00000/{METADATA} and 00000/{SAMPLES}/00000.png."
        )
    for home in homes:
        line = json_files.read(home / METADATA)
        if error := format_error(line):
            raise DataError(f"{home / METADATA} {error}. Correct the file, or write the folder again.")
        files = [file for file in (home / SAMPLES).glob("*.png") if _SAMPLE.fullmatch(file.name)]
        yield from (Sample(line, file) for file in sorted(files, key=lambda file: int(file.stem)))


def result(
    file: str, line: Mapping[str, Any], correct: bool, reason: str, detections: Mapping[str, list[Detection]]
) -> dict[str, Any]:
    """Make a line of the official results file.

    Args:
        file: The image file.
        line: The metadata line of its prompt.
        correct: Whether the image is correct.
        reason: Why the image is not correct, or an empty string.
        detections: The selected detections by class. The entry `details` of the line has
            [x1, y1, x2, y2, score] for each.
    """
    details = {name: [[*one.box, one.score] for one in members] for name, members in detections.items()}
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
    """Write results as one line of JSON per image."""
    write_text(file, "".join(json.dumps(dict(one)) + "\n" for one in results))


def read_results(file: Path) -> list[dict[str, Any]]:
    """Read a results file of NanoGen or the original tool. Raises DataError for a line in another format."""
    results = list(json_files.objects(file))
    for number, one in results:
        texts = [one.get("tag"), one.get("metadata", ""), one.get("prompt", "")]
        if not isinstance(one.get("correct"), bool) or not all(isinstance(text, str) for text in texts):
            raise DataError(
                f"Line {number} of {file} lacks `tag` or `correct`, or has a value of the wrong type. Give a results "
                "file of GenEval."
            )
    return [one for _, one in results]
