"""The command group `nanogen photos`. Imports a subcommand only when it runs."""

from __future__ import annotations

import click

from nanogen_core.cli.lazy import LazyGroup

#: subcommand -> (target, one-line help)
VERBS = {
    "calibrate": (
        "nanogen_photos.cli.calibrate:calibrate",
        "Measure how often the detector is right on real scenes.",
    ),
    "convert": ("nanogen_photos.cli.convert:convert", "Convert the weights of NanoDet or MobileNetV2, once."),
    "distances": (
        "nanogen_photos.cli.distances:distances",
        "Measure the distances of real and of altered scenes.",
    ),
    "sheet": ("nanogen_photos.cli.sheet:sheet", "Write a sheet of real scenes, with detections drawn on them."),
}


@click.command(cls=LazyGroup, verbs=VERBS)
def photos() -> None:
    """The dataset of composed photographs and the networks that judge it."""
