"""Commands, options and configuration keys in the documentation exist, and all that exist are documented."""

from __future__ import annotations

import re

import attrs
import click
import pytest

from nanogen_core.cli.main import cli
from nanogen_core.registry import registry
from tests.docs.blocks import ROOT, files, nanogen_commands
from tests.docs.site import generate

COMMANDS = [(path.relative_to(ROOT), words) for path in files() for words in nanogen_commands(path) if words]
PLACEHOLDER = {"COMMAND"}
#: Verbs that a page adds by a plugin file.
ADDED = {"count"}
#: Keys of a configuration that no kind and no section declares.
TOP = {"method", "image_size", "seed", "per_task"}


def parsed(words: list[str]) -> list[str]:
    """Return what is wrong with the words after `nanogen`."""
    command: click.Command = cli
    context = click.Context(cli, info_name="nanogen")
    rest = list(words)
    while isinstance(command, click.Group):
        if not rest or rest[0].startswith("-"):
            return [] if set(rest) <= {"--help", "--version", "--debug"} else [f"no verb in {words}"]
        verb = rest.pop(0)
        if verb in PLACEHOLDER | ADDED:
            return []
        found = command.get_command(context, verb)
        if found is None:
            return [f"there is no verb {verb!r}"]
        if isinstance(found, click.Group) and not rest:
            return []
        command, context = found, click.Context(found, info_name=verb, parent=context)
    rest = [word for index, word in enumerate(rest) if word != "--plugin" and rest[index - 1 : index] != ["--plugin"]]
    try:
        options, extra, _ = command.make_parser(context).parse_args(_completed(command, rest))
    except click.UsageError as error:
        return [error.format_message()]
    problems = [f"unexpected argument {word!r}" for word in extra if not word.startswith("$")]  # a shell variable
    for parameter in command.params:
        given = options.get(parameter.name)
        if isinstance(parameter.type, click.Choice) and given:
            problems += [f"{given} is no {parameter.name}"] if given not in parameter.type.choices else []
    return problems


def _completed(command: click.Command, words: list[str]) -> list[str]:
    """Add a value to an option at the end: a text may name `nanogen train --init` without one."""
    needing = {word for one in command.params if isinstance(one, click.Option) and not one.is_flag for word in one.opts}
    return [*words, "1"] if words and words[-1] in needing else words


@pytest.mark.parametrize("path", sorted({path for path, _ in COMMANDS}), ids=str)
def test_every_command_in_a_page_parses(path):
    problems = {" ".join(words): parsed(words) for page, words in COMMANDS if page == path}
    assert {line: found for line, found in problems.items() if found} == {}


def test_the_parser_detects_mistakes():
    assert parsed(["trian", "x"]) == ["there is no verb 'trian'"]
    assert parsed(["train", "x", "--stops", "4"])
    assert parsed(["bench", "raport", "x"])
    assert parsed(["train", "x", "y"]) == ["unexpected argument 'y'"]
    assert parsed(["import", "x", "--weights", "emma"]) == ["emma is no weights"]
    assert len(COMMANDS) > 150


def test_the_page_of_the_command_line_has_every_verb_and_option():
    """Compared with a walk of its own, since the page is generated."""
    page = generate().commands()
    sections = dict(re.findall(r"^#+ `(nanogen[^`]*)`\n(.*?)(?=^#+ `nanogen|\Z)", page, re.M | re.S))

    def walk(command: click.Command, name: str) -> None:
        if command is not cli:
            section = sections[name]
            options = {word for one in command.params if isinstance(one, click.Option) for word in one.opts}
            assert {word for word in options if word not in section} == set(), name
        if isinstance(command, click.Group):
            context = click.Context(command, info_name=name)
            for verb in command.list_commands(context):
                found = command.get_command(context, verb)
                assert found is not None
                walk(found, f"{name} {verb}")

    walk(cli, "nanogen")


def config_classes() -> dict[str, type]:
    """Return the class of options of each component (`kind/name`) and section."""
    known, load = registry(), generate()._load
    found = {f"{kind}/{name}": load(offer.what.config)
             for kind, named in known.components.items() for name, offers in named.items() for offer in offers
             if offer.what.config}  # fmt: skip
    return found | {section: load(target) for section, target in known.sections.items()}


CONFIGS = config_classes()


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_every_option_has_a_meaning(name):
    meanings = generate().option_meanings(CONFIGS[name])
    options = {field.name for field in attrs.fields(CONFIGS[name])}
    assert {option for option in options if not meanings.get(option)} == set()
    table = generate().option_table(CONFIGS[name])
    assert {option for option in options if f"| `{option}` |" not in table} == set()


def test_the_reference_has_every_component():
    pages = generate().configuration_pages()
    known = registry()
    for kind, named in known.components.items():
        assert {name for name in named if f"`{name}`" not in pages[kind]} == set()
    for page, names in (("sections", known.sections), ("methods", known.methods), ("recipes", known.recipes)):
        assert {name for name in names if f"## `{name}`" not in pages[page]} == set()


def unknown(key: str) -> bool:
    """Whether a dotted key names nothing: no option (`kind.option`, `group.component.option`, `section.option`) and no
    member of the kind's protocol (`task.make_batch`)."""
    known = registry()
    first, *rest = key.split(".")
    if first in known.sections:
        return rest[0] not in {field.name for field in attrs.fields(CONFIGS[first])}
    components = known.components.get(first, {})
    if rest[0] in components:
        config = CONFIGS.get(f"{first}/{rest[0]}")
        return len(rest) > 1 and (config is None or rest[1] not in {field.name for field in attrs.fields(config)})
    options = {field.name for name in components if f"{first}/{name}" in CONFIGS
               for field in attrs.fields(CONFIGS[f"{first}/{name}"])}  # fmt: skip
    protocol = known.kinds[first].protocol
    return rest[0] not in options | {"name"} and not (protocol and hasattr(generate()._load(protocol), rest[0]))


#: Keys of an example's plugin, tensors of networks, and files.
OTHERS = {
    *(f"{part}.safetensors" for part in ("backbone", "conditioner", "objective", "tokenizer")),
    "objective.direction",
    "encoder.fusion",
    "encoder.mask_token",
    "train.sbatch",
}


def test_every_configuration_key_in_the_pages_exists():
    """Keys of `--set`, and keys in code such as `train.steps`. The changelog also has former names."""
    heads = "|".join([*registry().sections, *registry().kinds])
    written = re.compile(rf"(?:--set[ =]['\"]?|`)((?:{heads})(?:\.[a-z_0-9-]+)+)(?=[=`: ])")
    pages = [path for path in files() if path.name != "CHANGELOG.md"]
    found = {key for path in pages for key in written.findall(path.read_text(encoding="utf-8"))}
    assert len(found) > 60
    assert {key for key in found - OTHERS if unknown(key)} == set()
    assert unknown("train.stepz")
    assert unknown("guidance.cfg.scales")
    assert not unknown("guidance.cfg.scale")
