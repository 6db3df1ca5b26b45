"""The imports between the distributions and modules of this repository, read from the source."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
CORE = "nanogen_core"


@lru_cache
def packages() -> dict[str, Path]:
    """Package name -> its folder, the core first."""
    plugins = {folder.name: folder for folder in sorted(ROOT.glob("plugins/nanogen-*/nanogen_*")) if folder.is_dir()}
    return {CORE: ROOT / CORE, **plugins}


@lru_cache
def modules(package: str) -> dict[str, Path]:
    """Dotted name -> file, of a package."""
    folder = packages()[package]
    found = {}
    for file in sorted(folder.rglob("*.py")):
        if "templates" in file.parts:  # of generated projects, whose package does not exist here
            continue
        parts = file.relative_to(folder.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def imported(file: Path, *, at_import: bool = False) -> tuple[tuple[str, str | None], ...]:
    """(module, name or None) of the imports of a file; `at_import` those alone that run when the file is imported."""
    return _imported(file)[at_import]


@cache
def _imported(file: Path) -> tuple[tuple[tuple[str, str | None], ...], ...]:
    """All imports of a file, and those that run when it is imported. A file is parsed once."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return tuple(tuple(_names(nodes)) for nodes in (ast.walk(tree), _executed(tree)))


def _names(nodes: Iterable[ast.AST]) -> Iterator[tuple[str, str | None]]:
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from ((node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)


def _executed(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes outside functions and outside `if TYPE_CHECKING:`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        yield node
        yield from _executed(node)


def distributions() -> dict[str, set[str]]:
    """Package -> the packages of this repository that its files import."""
    return {
        package: {
            top
            for file in modules(package).values()
            for module, _ in imported(file)
            if (top := module.partition(".")[0]) in packages() and top != package
        }
        for package in packages()
    }


def module_graph() -> dict[str, set[str]]:
    """Module -> the modules of this repository that importing it runs."""
    known = {name: file for package in packages() for name, file in modules(package).items()}
    graph: dict[str, set[str]] = {}
    for name, file in known.items():
        targets = set()
        for module, member in imported(file, at_import=True):
            whole = f"{module}.{member}"
            target = whole if whole in known else module
            if target in known and target != name:
                targets.add(target)
        graph[name] = targets
    return graph


def cycles(graph: dict[str, set[str]]) -> list[list[str]]:
    """The groups of nodes that reach each other, each sorted (Tarjan's strongly connected components)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(graph[node]):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            found.extend([sorted(group)] if len(group) > 1 else [])

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return found
