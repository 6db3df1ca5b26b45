"""Click groups that list their commands without importing them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

from nanogen_core.errors import near_miss
from nanogen_core.plugins import CORE
from nanogen_core.registry import Command, known_distributions, registry
from nanogen_files import malloc
from nanogen_files.torchao_messages import hide_torchao_messages


class LazyGroup(click.Group):
    """A click group that imports a command when it is used.

    Args:
        verbs: Command name -> (`"module:command"`, one line of help).
    """

    def __init__(self, *args: Any, verbs: Mapping[str, tuple[str, str]] | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self._verbs = verbs or {}

    def verbs(self) -> Mapping[str, Command]:
        """Return the commands by name."""
        return {verb: Command(target, line, CORE) for verb, (target, line) in self._verbs.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(self.verbs())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.verbs():
            return None
        malloc.keep_freed()
        hide_torchao_messages()
        module, _, name = self.verbs()[cmd_name].target.partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in self.verbs():
            raise click.UsageError(
                f"There is no command {args[0]!r}.{self.advice(args[0])} `{ctx.command_path} --help` lists all."
            )
        return super().resolve_command(ctx, args)

    def advice(self, verb: str) -> str:
        """Return a hint for the error message about an unknown command."""
        return near_miss(verb, self.verbs())

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(verb, self.verbs()[verb].help) for verb in sorted(self.verbs())])


class PluginGroup(LazyGroup):
    """The commands of all installed plugins, listed by distribution."""

    def verbs(self) -> Mapping[str, Command]:
        return registry().commands

    def advice(self, verb: str) -> str:
        distribution = known_distributions().get(verb)
        return f" To use it, run `pip install {distribution}`." if distribution else super().advice(verb)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        by_distribution: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for verb, command in sorted(self.verbs().items()):
            by_distribution[command.distribution].append((verb, command.help))
        for distribution, lines in sorted(by_distribution.items(), key=lambda pair: (pair[0] != CORE, pair[0])):
            with formatter.section(f"Commands of {distribution}"):
                formatter.write_dl(lines)
