"""A group of commands that is listed without importing them."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

from nanogen_core.errors import near_miss


class Verbs(click.Group):
    """A group whose commands are imported when they are used.

    Args:
        verbs: verb -> (where its command is, as `"module:name"`; what it does).
    """

    def __init__(self, *args: Any, verbs: Mapping[str, tuple[str, str]], **more: Any) -> None:
        super().__init__(*args, **more)
        self.verbs = verbs

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(self.verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.verbs:
            return None
        module, _, name = self.verbs[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in self.verbs:
            raise click.UsageError(
                f"There is no verb {args[0]!r}.{near_miss(args[0], self.verbs)} `{ctx.command_path} --help` lists them."
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl([(verb, self.verbs[verb][1]) for verb in sorted(self.verbs)])
