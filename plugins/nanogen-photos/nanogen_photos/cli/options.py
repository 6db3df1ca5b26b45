"""Command-line options that subcommands of `nanogen photos` share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from nanogen_core.cli.options import Number
from nanogen_core.validators import at_least
from nanogen_photos.config import BACKGROUNDS, STAMPS

SIZE = Number(int, at_least(8, 1024))  # pixels
COUNT = Number(int, at_least(1, 10_000))
detector_option = click.option("--weights", help="Weights of NanoDet. Default: the file of `nanogen photos convert`.")


def dataset_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--stamps` and `--backgrounds` to a command."""
    stamps = click.option("--stamps", default=STAMPS, show_default=True, help="Folder of tuxpaint-stamps-default.")
    behind = click.option("--backgrounds", default=BACKGROUNDS, show_default=True, help="Folder of photographs.")
    return stamps(behind(command))
