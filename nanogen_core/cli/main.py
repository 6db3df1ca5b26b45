"""Entry point of the `nanogen` command line. Prints user errors without a traceback."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from typing import Any

import click

from nanogen_core.cli.lazy import PluginGroup
from nanogen_core.errors import ConfigWarning, NanoGenError, is_out_of_memory
from nanogen_core.plugins import VARIABLE, inherited

OUT_OF_MEMORY = (
    "The machine or its device ran out of memory: lower the batch size (train.batch_size, --batch-size), the image size"
    " or --count, or raise train.grad_accum_steps."
)
PLUGIN = "--plugin"


@click.command(cls=PluginGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--plugin", metavar="FILE", help="Load a plugin from a Python file. For every command; repeatable.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(package_name="nanogen-core")
def cli(debug: bool, plugin: str | None) -> None:
    """Train and evaluate generative methods on ImageNet and text-to-image."""


def main() -> None:
    """Run the command line. Without `--debug`, a user error prints only its message and exits with a nonzero status."""
    # Idle OpenMP threads spin, which slows down other processes. A short spin is as fast on two idle cores (70 ms per
    # step of the demo) and 1.7 times faster beside two busy processes. torch reads the variable on import.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    warnings.showwarning = _noting(warnings.showwarning)
    _take_plugin_files()
    if "--debug" in sys.argv[1:]:
        sys.argv = [sys.argv[0], "--debug", *(word for word in sys.argv[1:] if word != "--debug")]
        cli()
        return
    try:
        cli(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Stopped.", err=True)
        sys.exit(130)  # conventional exit status after Ctrl-C (128 + SIGINT)
    except NanoGenError as error:
        click.echo(f"{'' if hasattr(error, 'exit_code') else 'Error: '}{error}", err=True)
        sys.exit(getattr(error, "exit_code", 1))
    except OSError as error:
        click.echo(f"Error: {error.strerror or error}{_place(error)}.", err=True)
        sys.exit(1)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        click.echo(f"Error: {OUT_OF_MEMORY}", err=True)
        sys.exit(1)


def _take_plugin_files() -> None:
    """Move `--plugin FILE` options from the command line to the environment, which child processes inherit."""
    words, files = [], inherited()
    given = iter(sys.argv[1:])
    for word in given:
        if word == PLUGIN:
            files.append(Path(next(given, "")))
        elif word.startswith(f"{PLUGIN}="):
            files.append(Path(word.partition("=")[2]))
        else:
            words.append(word)
    if files:
        os.environ[VARIABLE] = os.pathsep.join(str(file.absolute()) for file in files)
        sys.argv[1:] = words


def _noting(show: Any) -> Any:
    """Return a `showwarning` function that prints a ConfigWarning as one line, in the first process only."""

    def noted(message: Any, category: type[Warning], *place: Any, **more: Any) -> None:
        if not issubclass(category, ConfigWarning):
            show(message, category, *place, **more)
        elif os.environ.get("RANK", "0") == "0":
            click.echo(f"Note: {message}", err=True)

    return noted


def _place(error: OSError) -> str:
    return f": {error.filename}. Correct the path or its permissions, or set --output" if error.filename else ""
