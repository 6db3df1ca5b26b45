"""`nanogen train`."""

from __future__ import annotations

from pathlib import Path

import click

from nanogen_core.cli.options import overrides
from nanogen_core.errors import TrainingError


@click.command()
@click.argument("config")
@click.option(
    "--output", type=click.Path(path_type=Path), help="The run's folder; by default runs/ and the file's name."
)
@click.option("--resume", is_flag=True, help="Go on from the newest checkpoint; an error where there is none.")
@overrides
def train(config: str, output: Path | None, resume: bool, settings: tuple[str, ...]) -> None:
    """Train what CONFIG describes: a YAML file, a recipe's name, or with --resume the folder of a run."""
    from nanogen_core.cli.options import resolved
    from nanogen_core.cli.progress import training_progress
    from nanogen_core.config import CONFIG

    folder = Path(config)
    if resume and (folder / CONFIG).is_file():
        config, output = str(folder / CONFIG), output or folder
    elif resume and folder.is_dir():
        raise TrainingError(f"There is nothing to resume in {folder}: it holds no {CONFIG}, so no run began there.")
    output = output or Path("runs") / folder.stem
    configuration = resolved(config, settings)
    from nanogen_core.pipeline import build_pipeline  # torch, once the configuration is known to be right
    from nanogen_core.training import ranks
    from nanogen_core.training.loop import Run

    pipeline = build_pipeline(configuration.as_dict())
    with training_progress(configuration.train.steps) as report:
        Run(pipeline, output, resume=resume, report=report).train()
    if ranks.rank() == 0:
        click.echo(f"Trained {configuration.train.steps} steps. The pipeline, its log and its samples are in {output}.")
