"""Code blocks of the documentation, and the commands in them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.M | re.S)
FOLDERS = ("docs/**/*.md", "plugins/*/README.md", "examples/**/README.md", "benchmarks/**/README.md", "*.md")


@frozen
class Block:
    """A fenced code block. A block with a title is the content of that file."""

    language: str
    title: str
    text: str


def files() -> list[Path]:
    """Return all Markdown files of the documentation."""
    return sorted({path for pattern in FOLDERS for path in ROOT.glob(pattern)})


def blocks(path: Path) -> list[Block]:
    """Return the code blocks of a file in their order."""
    return [Block(*match.groups(default="")) for match in FENCE.finditer(path.read_text(encoding="utf-8"))]


def lines(block: Block) -> list[str]:
    """Return the command lines of a block, with continued lines joined and `$ ` removed."""
    joined = re.sub(r"\\\n\s*", "", block.text)
    return [line.removeprefix("$ ") for line in joined.splitlines() if line.strip()]


def nanogen_commands(path: Path) -> Iterator[list[str]]:
    """Yield the words after `nanogen` of every command in a file: in shell blocks, and in code in the text."""
    text = path.read_text(encoding="utf-8")
    shell = [line for block in blocks(path) if block.language in ("console", "bash") for line in lines(block)]
    inline = [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", FENCE.sub("", text))]
    for line in (*shell, *inline):
        try:
            words = shlex.split(line, comments=True)
        except ValueError:  # code with an apostrophe
            continue
        yield from _after_nanogen(words)


def _after_nanogen(words: list[str]) -> Iterator[list[str]]:
    """The program is the first word, or a later one of a launcher's line: `torchrun ... -m nanogen_core train`."""
    launched = words[:1] in (["torchrun"], ["accelerate"])
    for index, word in enumerate(words):
        program = word == "nanogen" and (index == 0 or launched)
        if program or (word == "nanogen_core" and words[index - 1 : index] == ["-m"]):
            yield [word for word in words[index + 1 :] if word != "..."]
            return
