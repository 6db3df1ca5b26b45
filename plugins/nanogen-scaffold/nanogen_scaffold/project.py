"""Renders the templates of a kind and writes them as a new project. Does not import torch.

The templates are Python files that work as they are. The word `placeholder` stands for the name of the component in
each of its spellings: `nanogen-placeholder`, `nanogen_placeholder`, `Placeholder`, `PlaceholderConfig`.
"""

from __future__ import annotations

import ast
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from string import Template as Text

from nanogen_core.errors import NanoGenError, listing, near_miss, shown
from nanogen_scaffold.kinds import BOTH_TASKS, KINDS, NETWORK, TYPED
from nanogen_scaffold.names import Names, names_of

TEMPLATES = Path(__file__).parent / "templates"
SHARED = ("pyproject.toml", "README.md")
EXAMPLE = "example.yaml"
#: `example.yaml` without the generated component: slot -> its value.
DRAWINGS = {
    "task": "imagenet",
    "dataset": "openmoji",
    "tokenizer": "openmoji-vae",
    "backbone": "{name: lightning-dit, size: tiny}",
    "objective": "{name: flow, shift: 1.0, time_mean: 0.5}",
    "sampler": "{name: euler, steps: 25}",
    "stage": "{name: diffusion, ema_decay: 0.995}",
    "optimizer": "{name: adamw, lr: 3.0e-3}",
    "train": "{steps: 2000, batch_size: 64, sample_every: 500}",
}


def new_project(name: str, kind: str, parent: Path) -> Path:
    """Write the project `nanogen-NAME` with one component, and return the folder of the project.

    Args:
        name: Name of the component, such as "my-objective".
        kind: Kind of the component: a key of `KINDS`.
        parent: Existing folder in which the project is created.

    Raises:
        NanoGenError: The kind is unknown, the name cannot be used, or the folder exists or cannot be written.
    """
    if kind not in KINDS:
        raise NanoGenError(f"There is no template for the kind {shown(kind)}.{near_miss(kind, KINDS)} {_kinds()}")
    names = names_of(name, kind)
    files = rendered(names, kind)
    _refuse_shadowed(names, files)
    folder = parent / names.distribution
    try:
        folder.mkdir()  # fails if anything has this name, so nothing is overwritten
    except FileExistsError as error:
        raise NanoGenError(f"{folder} exists already: remove it, or choose another name or --output.") from error
    except OSError as error:
        raise NanoGenError(f"Cannot create {folder}: {error.strerror}. Choose another --output.") from error
    try:
        _write(folder, files)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise NanoGenError(f"Cannot write into {folder}: {error.strerror}. Choose another --output.") from error
    return folder


def rendered(names: Names, kind: str) -> dict[str, str]:
    """Return the files of a project: path -> text."""
    fields = _fields(names, kind)
    sources = {name: TEMPLATES / name for name in SHARED}
    for home in (TEMPLATES / "common", TEMPLATES / kind):
        sources |= {path.relative_to(home).as_posix(): path for path in sorted(_files(home))}
    texts = {name: path.read_text(encoding="utf-8") for name, path in sources.items()}
    texts |= {name: Text(texts[name]).substitute(fields) for name in SHARED}
    for group, requirements in _requirements(kind).items():
        texts["pyproject.toml"] = texts["pyproject.toml"].replace(f'"template-{group}"', requirements)
    texts[EXAMPLE] = _example(kind)
    return {_named(path, names): _named(text, names) for path, text in texts.items()}


def selection(kind: str) -> str:
    """Return the line that selects the component `placeholder` in a configuration."""
    template, options = KINDS[kind], KINDS[kind].options
    if template.group:
        return f"{kind}: {{placeholder: {{{options}}}}}"
    return f"{kind}: {{name: placeholder, {options}}}" if options else f"{kind}: placeholder"


def _files(home: Path) -> Iterator[Path]:
    return (path for path in home.rglob("*") if path.is_file() and path.suffix != ".pyc")


def _named(text: str, names: Names) -> str:
    """Replace the placeholder in all its spellings."""
    spellings = {
        "nanogen_placeholder": names.package,
        "nanogen-placeholder": names.distribution,
        "Placeholder": names.cls,
        "placeholder": names.component,
    }
    for spelling, name in spellings.items():
        text = text.replace(spelling, name)
    return text


def _fields(names: Names, kind: str) -> Mapping[str, str]:
    """Return the fields of the shared templates."""
    template = KINDS[kind]
    module = "objective" if kind == "method" else kind
    files = {
        f"nanogen_placeholder/{module}.py": template.contents,
        "nanogen_placeholder/config.py": "options",
        "nanogen_placeholder/plugin.py": "the manifest",
        "tests/": "the contracts, and a short training",
    }
    return {
        "summary": template.summary,
        "files": "\n".join(f"| `{file}` | {contents} |" for file, contents in files.items()),
        "selection": selection(kind),
        "commands": "\n".join(_commands(kind)),
    }


def _requirements(kind: str) -> dict[str, str]:
    """Return the requirements of a project by group, as TOML strings. Those of NanoGen get their present version."""
    groups = {
        "requires": (TYPED, NETWORK, "nanogen-core", "nanogen-files", *KINDS[kind].requires),
        "tests": ("mypy>=1.10", "nanogen-scaffold", "pytest>=8"),
        "demo": ("nanogen-scaffold", *BOTH_TASKS),
    }
    return {
        group: ", ".join(f'"{name if ">=" in name else f"{name}>={_version(name)}"}"' for name in sorted(names))
        for group, names in groups.items()
    }


def _version(name: str) -> str:
    """Return the installed version of a distribution of NanoGen. All of them share one version."""
    try:
        return version(name.partition("[")[0])
    except PackageNotFoundError:
        return version("nanogen-core")


def _commands(kind: str) -> Iterator[str]:
    yield f"nanogen train {EXAMPLE} --output runs/first"
    if kind != "task":
        yield f"nanogen train {EXAMPLE} --set task=t2i --output runs/second"
    if kind == "metric":
        yield "nanogen evaluate runs/first --count 256"


def _example(kind: str) -> str:
    note = "" if kind == "task" else " For text-to-image, set `task: t2i`."
    lines = {slot: f"{slot}: {value}" for slot, value in DRAWINGS.items()}
    if kind == "method":
        del lines["objective"]
    if kind == "conditioner":
        lines = {"task": lines.pop("task"), kind: "", **lines}
    lines[kind] = selection(kind)
    return "\n".join([f"# Trains `placeholder` on OpenMoji drawings.{note}", *lines.values(), ""])


def _refuse_shadowed(names: Names, files: Mapping[str, str]) -> None:
    """Raise NanoGenError if a generated file has another object under the name of a generated class."""
    for path, text in files.items():
        nodes = [*ast.walk(ast.parse(text))] if path.endswith(".py") else []
        outside = [node for node in nodes if isinstance(node, ast.ImportFrom) and names.package not in str(node.module)]
        imported = {alias.asname or alias.name for node in outside for alias in node.names}
        classes = Counter(node.name for node in nodes if isinstance(node, ast.ClassDef))
        own = {names.cls, f"{names.cls}Config"}
        if taken := own & imported | {name for name, count in classes.items() if count > 1}:
            raise NanoGenError(
                f"{names.component!r} would give a class the name {min(taken)}, which {path} uses already: choose"
                f" another name, such as my-{names.component}."
            )


def _write(folder: Path, files: Mapping[str, str]) -> None:
    for path, text in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        with open(file, "x", encoding="utf-8", newline="\n") as stream:
            stream.write(text)


def _kinds() -> str:
    return f"Kinds: {listing(KINDS)}."
