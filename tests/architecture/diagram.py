"""`python -m tests.architecture.diagram` writes the diagram of docs/architecture.md anew."""

from __future__ import annotations

from pathlib import Path

from tests.architecture.imports_of import ROOT, distributions

PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "```mermaid\n", "```\n"
#: Extras: nanogen-rae offers its encoder, and nanogen-repae its VAE, where both are installed.
OPTIONAL = {("nanogen_rae", "nanogen_openmoji"), ("nanogen_repae", "nanogen_openmoji")}


def diagram() -> str:
    """The distributions and their imports as a Mermaid graph, without arrows that follow from others."""
    graph = {
        name: {other for other in found if (name, other) not in OPTIONAL} for name, found in distributions().items()
    }
    lines = [
        f"    {_name(package)} --> {_name(other)}"
        for package in graph
        for other in sorted(graph[package])
        if not any(other in _reached(graph, between) for between in graph[package] - {other})
    ]
    return "\n".join(["graph BT", *lines, ""])


def page_with(text: str) -> str:
    """The page with this diagram."""
    page = PAGE.read_text(encoding="utf-8")
    head, _, rest = page.partition(BEGIN)
    return head + BEGIN + text + END + rest.partition(END)[2]


def _reached(graph: dict[str, set[str]], start: str) -> set[str]:
    found: set[str] = set()
    left = [start]
    while left:
        new = graph[left.pop()] - found
        found |= new
        left += new
    return found


def _name(package: str) -> str:
    return package.removeprefix("nanogen_")


if __name__ == "__main__":
    Path(PAGE).write_text(page_with(diagram()), encoding="utf-8")
