"""`nanogen`: lists its verbs without importing them, and turns errors into one sentence."""

from __future__ import annotations

import os
import sys
import warnings
from typing import Any

import click

from nanogen_core import memory
from nanogen_core.cli.verbs import Verbs
from nanogen_core.errors import ConfigWarning, NanoGenError, is_out_of_memory

#: verb -> (where its command is, what it does)
VERBS = {
    "bench": ("nanogen_core.cli.bench:bench", "DiffusionBench: do rankings of one task say anything about the other?"),
    "config": ("nanogen_core.cli.config:config", "Show a resolved configuration, or the lines in which two differ."),
    "data": ("nanogen_core.cli.data:data", "Measure training data, or encode them once: stats, prepare."),
    "demo": ("nanogen_core.cli.demo:demo", "Train on drawings that come with a plugin, and look at the result."),
    "ema": ("nanogen_core.cli.ema:ema", "Make averages of other widths of a finished run's snapshots."),
    "evaluate": ("nanogen_core.cli.evaluate:evaluate", "Judge a model's samples, or images from any program."),
    "import": ("nanogen_core.cli.imports:import_", "Make a saved pipeline of a published checkpoint."),
    "plan": ("nanogen_core.cli.plan:plan", "Say what training on so many GPUs needs: memory, FLOPs, days, data."),
    "plugins": ("nanogen_core.cli.plugins:plugins", "List the installed plugins and what they offer."),
    "recipes": ("nanogen_core.cli.recipes:recipes", "List the configurations that plugins ship."),
    "runs": ("nanogen_core.cli.runs:runs", "List runs: running, finished, stopped, failed, damaged."),
    "sample": ("nanogen_core.cli.sample:sample", "Draw pictures with a saved pipeline or a run."),
    "train": ("nanogen_core.cli.train:train", "Train what a configuration describes."),
}
OUT_OF_MEMORY = (
    "The machine or its device ran out of memory: lower the batch size (train.batch_size, --batch-size), the image size"
    " or --count, or raise train.accumulate."
)
INTERRUPTED = 130  # what a shell calls a program that Ctrl-C ended


@click.command(cls=Verbs, verbs=VERBS, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(package_name="nanogen-core")
def cli(debug: bool) -> None:
    """Train and judge any generative method on ImageNet and text-to-image, one line of configuration apart."""


def main() -> None:
    """The entry point: errors that a person can mend are printed as one sentence, with exit status 1."""
    # OpenMP's threads wait by spinning, which takes the cores from whatever else runs. A short spin is as quick on two
    # idle cores (70 ms a step of the demo) and 1.7 times quicker beside two busy processes. torch reads it on import.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    memory.keep_freed()
    warnings.showwarning = _noting(warnings.showwarning)
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
        sys.exit(INTERRUPTED)
    except NanoGenError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(getattr(error, "exit_code", 1))
    except OSError as error:
        click.echo(f"Error: {error.strerror or error}{_place(error)}.", err=True)
        sys.exit(1)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        click.echo(f"Error: {OUT_OF_MEMORY}", err=True)
        sys.exit(1)


def _noting(show: Any) -> Any:
    """Prints what became of options as one line, in the first process alone; other warnings as before."""

    def noted(message: Any, category: type[Warning], *place: Any, **more: Any) -> None:
        if not issubclass(category, ConfigWarning):
            show(message, category, *place, **more)
        elif os.environ.get("RANK", "0") == "0":
            click.echo(f"Note: {message}", err=True)

    return noted


def _place(error: OSError) -> str:
    return f": {error.filename}" if error.filename else ""
