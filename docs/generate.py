"""MkDocs hook: generates the reference pages, and pages from Markdown files outside `docs/`."""

from __future__ import annotations

import csv
import inspect
import json
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Any

import attrs
import click
import yaml

from nanogen_core.cli.main import cli
from nanogen_core.registry import registry

ROOT = Path(__file__).parents[1]
DISTRIBUTIONS = ("nanogen-core", *(path.name for path in sorted(ROOT.glob("plugins/nanogen-*"))))
#: Files of the repository -> their pages. Links to other files lead to a copy in `files/`.
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "examples/third_party_method/README.md": "example-plugin.md",
    **{f"plugins/{name}/README.md": f"reference/python/{name}.md" for name in DISTRIBUTIONS[1:]},
}
SOURCES = {page: source for source, page in PAGES.items()}
LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)#\s]+)(#[^)\s]*)?(?=\))")
FENCE = re.compile(r"(^```.*?^```)", re.M | re.S)


# -- events of MkDocs ------------------------------------------------------------------------------------------------


def on_config(config: Any) -> Any:
    """Add the generated pages to the navigation."""
    reference = next(entry["Reference"] for entry in config.nav if "Reference" in entry)
    for entry in reference:
        if "Configuration" in entry:
            entry["Configuration"] = [f"reference/configuration/{name}.md" for name in configuration_pages()]
        if "Python" in entry:
            entry["Python"] = [{name: f"reference/python/{name}.md"} for name in DISTRIBUTIONS]
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the generated pages, and copies of the files that pages link to."""
    from mkdocs.structure.files import File

    texts = pages()
    for uri, text in texts.items():
        files.append(File.generated(config, uri, content=text))
    written = {uri: text for uri, text in texts.items() if uri in SOURCES}
    written |= {path.relative_to(ROOT / "docs").as_posix(): _read(path) for path in (ROOT / "docs").rglob("*.md")}
    for source in sorted({target for uri, text in written.items() for target in _outside(uri, text)}):
        files.append(File.generated(config, f"files/{source}", content=(ROOT / source).read_bytes()))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Point links at pages instead of files of the repository, and write the diagram as a table."""
    return _without_mermaid(relinked(markdown, page.file.src_uri))


# -- links -----------------------------------------------------------------------------------------------------------


def relinked(text: str, uri: str) -> str:
    """Return the Markdown of a page with links that lead to pages of the site.

    Args:
        text: Markdown whose links are relative to its file in the repository.
        uri: The page, relative to the site.
    """

    def new(match: re.Match[str]) -> str:
        source = _source(uri, match[1])
        if source is None:
            return match[0]
        return os.path.relpath(_page_of(source), PurePosixPath(uri).parent) + (match[2] or "")

    parts = FENCE.split(text)
    return "".join(part if part.startswith("```") else LINK.sub(new, part) for part in parts)


def _source(uri: str, link: str) -> str | None:
    """Return the file of the repository to which a link of a page leads, or None."""
    folder = PurePosixPath(SOURCES.get(uri, f"docs/{uri}")).parent
    path = os.path.normpath(folder / link)
    return path if (ROOT / path).is_file() else None


def _page_of(source: str) -> str:
    return PAGES.get(source) or (source.removeprefix("docs/") if source.startswith("docs/") else f"files/{source}")


def _outside(uri: str, text: str) -> Iterator[str]:
    """Yield the linked files that are neither pages nor in `docs/`."""
    for match in LINK.finditer(FENCE.sub("", text)):
        source = _source(uri, match[1])
        if source and _page_of(source).startswith("files/"):
            yield source


def _without_mermaid(text: str) -> str:
    """Replace the diagram of imports by a table: Mermaid would be loaded from another host."""

    def table(match: re.Match[str]) -> str:
        imports = defaultdict(list)
        for user, used in re.findall(r"(\w+) --> (\w+)", match[0]):
            imports[user].append(f"`{used}`")
        rows = [f"| `{user}` | {', '.join(used)} |" for user, used in imports.items()]
        return "\n".join(["| Distribution | imports |", "|---|---|", *rows])

    return re.sub(r"```mermaid\n.*?```", table, text, flags=re.S)


# -- pages -----------------------------------------------------------------------------------------------------------


def pages() -> dict[str, str]:
    """Return the text of every generated page by its path in the site."""
    found = {page: _read(ROOT / source) for source, page in PAGES.items()}
    found["gallery.md"] = gallery()
    found["reference/commands.md"] = commands()
    found |= {f"reference/configuration/{name}.md": text for name, text in configuration_pages().items()}
    for name in DISTRIBUTIONS:
        uri = f"reference/python/{name}.md"
        found[uri] = found.get(uri, CORE) + public_names(name.replace("-", "_"))
    return found


CORE = """# nanogen-core

Protocols, plugin discovery, configuration, assembly, `Pipeline`, sampling, guidance and the command line. The guides to
[plugins](../../plugins.md) and [protocols](../../protocols.md) show how the names are used.
"""


def public_names(package: str) -> str:
    """Return the section of a page with the documented public names of a package."""
    names = getattr(import_module(package), "__all__", ())
    if not names:
        return ""
    listed = "\n\n".join(f"::: {package}.{name}" for name in names)
    usage = f"Import them from the package: `from {package} import {names[0]}`."
    return f"\n## Python\n\nNames in `{package}.__all__`. {usage}\n\n{listed}\n"


def gallery() -> str:
    """Return the page of the matrix: its cells, and the results in `docs/gallery/`.

    The folder has copies of `runs/matrix/results.csv`, and of `runs/matrix/TASK/NAME/grid.png` as `TASK-NAME.png`.
    """
    text = _read(ROOT / "docs" / "gallery.in.md")
    matrix = yaml.safe_load(_read(ROOT / "benchmarks" / "matrix" / "cells.yaml"))
    rows = [f"| `{name}` | {_cell(cell['summary'])} | {cell['steps']} |" for name, cell in matrix["cells"].items()]
    return text.replace("{results}", _results(ROOT / "docs" / "gallery")).replace("{cells}", "\n".join(rows))


NOT_SHOWN = ("task", "network", "seconds", "seed", "error")


def _results(folder: Path) -> str:
    """Return a table of each task, and the sheets of each cell."""
    if not (folder / "results.csv").is_file():
        return "This version of the documentation contains no results of a matrix."
    rows = list(csv.DictReader((folder / "results.csv").read_text(encoding="utf-8").splitlines()))
    tasks, names = (list(dict.fromkeys(row[key] for row in rows)) for key in ("task", "method"))
    lines = ["## Results\n"]
    for task in tasks:
        lines += [f"### {task}\n", *_table([row for row in rows if row["task"] == task])]
    lines += ["## Samples\n", "The first row of each sheet is real drawings, the other rows are samples.\n"]
    for name in names:
        sheets = {task: f"{task}-{name}.png" for task in tasks if (folder / f"{task}-{name}.png").is_file()}
        lines += [f"### {name}\n"] if sheets else []
        lines += [f"![Samples of {name}, {task}](gallery/{file})\n" for task, file in sheets.items()]
    return "\n".join(lines)


def _table(rows: list[dict[str, str]]) -> Iterator[str]:
    """Yield the lines of one task's table, and a line that names the cells that are not in it."""
    done = [row for row in rows if row["network"] == "trained"]
    columns = [name for name in rows[0] if name not in NOT_SHOWN and any(row[name] for row in done)]
    yield f"| {' | '.join(column.replace('_', ' ') for column in columns)} |"
    yield f"| {' | '.join('---' for _ in columns)} |"
    yield from (f"| {' | '.join(row[name] for name in columns)} |" for row in done)
    yield ""
    measured = {row["method"] for row in done}
    missing = list(dict.fromkeys(row["method"] for row in rows if row["method"] not in measured))
    if missing:
        yield f"Not measured yet: {', '.join(f'`{name}`' for name in missing)}.\n"


# -- command line ----------------------------------------------------------------------------------------------------


def verbs(command: click.Command = cli, name: str = "nanogen") -> Iterator[tuple[str, click.Command]]:
    """Yield every command of the command line with its full name, groups included."""
    if not isinstance(command, click.Group):
        yield name, command
        return
    context = click.Context(command, info_name=name)
    for verb in command.list_commands(context):
        child = command.get_command(context, verb)
        assert child is not None
        if isinstance(child, click.Group):
            yield f"{name} {verb}", child
        yield from verbs(child, f"{name} {verb}")


def commands() -> str:
    """Return the page of the command line."""
    lines = [
        "# Command line\n",
        "`--plugin FILE` loads a plugin from a Python file, and `--debug` shows the traceback of an error. Both work"
        " with every command. `nanogen COMMAND --help` prints the text of this page.\n",
    ]
    owners = {verb: command.distribution for verb, command in registry().commands.items()}
    for name, command in verbs():
        words = name.split()
        lines.append(f"{'#' * len(words)} `{name}`\n")
        if len(words) == 2:
            lines.append(f"Distribution: {_distribution(owners[words[1]], 'python')}\n")
        lines.append(_paragraphs(inspect.cleandoc(command.help or "")) + "\n")
        if not isinstance(command, click.Group):
            lines.append(_usage(name, command))
    return "\n".join(lines)


def _usage(name: str, command: click.Command) -> str:
    context = click.Context(command, info_name=name)
    usage = " ".join(command.collect_usage_pieces(context))
    rows = []
    for option in command.get_params(context):
        record = option.get_help_record(context) if not isinstance(option, click.Argument) else None
        if record and "--help" not in option.opts:
            rows.append(f"| {_code(record[0])} | {_cell(record[1])} |")
    table = "\n".join(["| Option | Meaning |", "|---|---|", *rows]) + "\n" if rows else ""
    return f"```text\n{name} {usage}\n```\n\n{table}"


# -- configuration ---------------------------------------------------------------------------------------------------


def configuration_pages() -> dict[str, str]:
    """Return the pages of the configuration reference by name."""
    found = {"sections": _sections(), "methods": _methods(), "recipes": _recipes()}
    return found | {kind: _kind(kind) for kind in sorted(registry().kinds) if registry().components.get(kind)}


def _kind(name: str) -> str:
    kind = registry().kinds[name]
    place = {
        "slot": "A configuration selects one component.",
        "group": "A configuration selects any number of components.",
        "named": "Options of other components select it.",
    }[kind.place]
    default = f" The default is `{kind.default}`." if kind.default else ""
    lines = [f"# `{name}`\n", f"{_kind_summary(name)} {place}{default}\n"]
    by_config = defaultdict(list)
    for found in registry().components[name].values():
        for offer in found:
            key = offer.what.config or offer.full_name
            by_config[key].append(offer)
    for offers in by_config.values():
        lines += _components(offers)
    return "\n".join(lines)


def _kind_summary(name: str) -> str:
    row = re.search(rf"^\| `{name}` \| `[\w-]+` \| (.*?) \|$", _read(ROOT / "docs" / "plugins.md"), re.M)
    assert row, f"docs/plugins.md lacks the kind {name}"
    return f"{row[1][0].upper()}{row[1][1:]}."


def _components(offers: list[Any]) -> list[str]:
    """Return the section of the components that share a class of options."""
    names = [offer.what.name for offer in offers]
    heading = ", ".join(f"`{name}`" for name in names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    lines = [f"## {heading}\n"]
    if len(offers) == 1:
        lines.append(f"{_sentence(offers[0].what.summary)}\n")
    else:
        rows = [f"| `{offer.what.name}` | {_cell(_sentence(offer.what.summary))} |" for offer in offers]
        lines += ["| Name | Description |", "|---|---|", *rows, ""]
    lines.append(f"Distribution: {_distribution(offers[0].distribution)}\n")
    component = offers[0].what
    if component.provides:
        lines.append(f"Provides: {_words(component.provides)}\n")
    needs = [f"`{kind}`" + (f" ({_words(words)})" if words else "") for kind, words in sorted(component.needs.items())]
    if needs:
        lines.append(f"Needs: {', '.join(needs)}\n")
    lines.append(option_table(_load(component.config)) if component.config else "It has no options.\n")
    return lines


def _sections() -> str:
    lines = ["# Sections\n", "Keys of a configuration that do not select components.\n", CORE_KEYS]
    for name, target in registry().sections.items():
        lines += [f"## `{name}`\n", option_table(_load(target))]
    return "\n".join(lines)


CORE_KEYS = """| Key | Meaning |
|---|---|
| `task`, and the other [kinds](../../plugins.md#kinds) | a component's name, or a mapping with `name` and options |
| `method` | a combination of components ([methods](methods.md)) |
| `image_size` | width and height of the images, in pixels |
| `seed` | seed of all random numbers |
| `per_task` | options that apply to one task only |

[Configurations](../../configuration.md) describes how they are merged.
"""


def _methods() -> str:
    lines = ["# Methods\n", "`method: NAME` selects a combination of components. Other keys override it.\n"]
    for name, offers in sorted(registry().methods.items()):
        for offer in offers:
            lines += [
                f"## `{name}`\n",
                f"{_sentence(offer.what.summary)}\n",
                f"Distribution: {_distribution(offer.distribution)}\n",
            ]
            per_task = {task: dict(layer) for task, layer in offer.what.per_task.items()}
            defaults = {**offer.what.defaults, **({"per_task": per_task} if per_task else {})}
            lines.append(f"```yaml\n{yaml.safe_dump(_plain(defaults), sort_keys=False)}```\n")
    return "\n".join(lines)


def _recipes() -> str:
    lines = [
        "# Recipes\n",
        "`nanogen train NAME` runs a recipe. [Published recipes](../../recipes.md) describes their settings.\n",
    ]
    for name, target in sorted(registry().recipes.items()):
        package, _, path = target.partition(":")
        text = _read(Path(str(import_module(package).__file__)).parent / path)
        lines += [f"## `{name}`\n", f"```yaml\n{text.strip()}\n```\n"]
    return "\n".join(lines)


def option_table(config: type) -> str:
    """Return the table of the options of an attrs class: name, type, default and meaning."""
    meanings = option_meanings(config)
    if not attrs.fields(config):
        return "It has no options.\n"
    rows = ["| Option | Type | Default | Meaning |", "|---|---|---|---|"]
    for field in attrs.fields(config):
        meaning = _cell(meanings.get(field.name, ""))
        rows.append(f"| `{field.name}` | {_type(field)} | {_default(field)} | {meaning} |")
    return "\n".join(['<div class="options" markdown>\n', *rows, "\n</div>\n"])


def option_meanings(config: type) -> dict[str, str]:
    """Return the meaning of each option from the docstrings of an attrs class and its bases.

    An entry of `Args:` may name several options. A short docstring names its only option in its text: "`steps`: ...".
    """
    found: dict[str, str] = {}
    for base in reversed(config.__mro__[:-1]):
        text = inspect.cleandoc(vars(base).get("__doc__") or "")
        for names, meaning in re.findall(r"^    ([\w, ]+): (.*?)(?=^    \S|^\S|\Z)", text, re.M | re.S):
            found |= {name.strip(): " ".join(meaning.split()) for name in names.split(",")}
        for name, meaning in re.findall(r"`(\w+)`: (.*?)(?=`\w+`:|\Z)", text.partition("\nArgs:")[0], re.S):
            found.setdefault(name, _sentence(" ".join(meaning.split())))
    return found


def _type(field: Any) -> str:
    if isinstance(field.validator, attrs.validators.in_("").__class__):
        return " or ".join(_code(json.dumps(value)) for value in field.validator.options)
    written = field.type if isinstance(field.type, str) else inspect.formatannotation(field.type)
    literal = re.fullmatch(r"Literal\[(.*)\]", written)
    if literal:
        return " or ".join(_code(value.strip()) for value in literal[1].split(","))
    return _code(
        {"Any": "any", "str | None": "str or null"}.get(written, written.replace("None", "null").replace(" | ", " or "))
    )


def _default(field: Any) -> str:
    if field.default is attrs.NOTHING:
        return "required"
    value = field.default.factory() if isinstance(field.default, attrs.Factory) else field.default
    return _code(json.dumps(_plain(value), default=str))


def _plain(value: Any) -> Any:
    """Return a value of plain mappings, lists and scalars."""
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, (tuple, list, set, frozenset)):
        return [_plain(one) for one in value]
    return attrs.asdict(value) if attrs.has(type(value)) else value


# -- Markdown --------------------------------------------------------------------------------------------------------


def _distribution(name: str, python: str = "../python") -> str:
    """Return a link to the page of a distribution; `python` is the folder of these pages."""
    return f"[{name}]({python}/{name}.md)" if name in DISTRIBUTIONS else f"`{name}`"


def _words(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in sorted(words))


def _sentence(text: str) -> str:
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", ":")) else ".")


def _cell(text: str) -> str:
    """Return text for a cell of a table: bars, stars and angle brackets outside code are escaped."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part.replace("|", "\\|") if part.startswith("`") else _escaped(part) for part in parts)


def _escaped(text: str) -> str:
    return re.sub(r"([|*_\[\]])", r"\\\1", text).replace("<", "&lt;")


def _paragraphs(text: str) -> str:
    return "\n\n".join(_cell(" ".join(one.split())) for one in text.replace("\b", "").split("\n\n"))


def _code(text: str) -> str:
    return "`" + text.replace("|", "\\|") + "`"


def _load(target: str) -> type:
    module, _, name = target.partition(":")
    found: type = getattr(import_module(module), name)
    return found


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")
