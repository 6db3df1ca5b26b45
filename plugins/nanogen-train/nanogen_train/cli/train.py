"""`nanogen train`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from nanogen_core.cli.options import overrides
from nanogen_core.errors import TrainingError

if TYPE_CHECKING:
    from nanogen_train.trainer.dry_run import DryRun


@click.command()
@click.argument("config")
@click.option(
    "--output", type=click.Path(path_type=Path), help="The run's folder; by default runs/ and the file's name."
)
@click.option("--resume", is_flag=True, help="Resume from the newest checkpoint; an error where there is none.")
@click.option("--overwrite", is_flag=True, help="Move a run or a pipeline in the output folder aside and start anew.")
@click.option(
    "--dry-run", is_flag=True, help="Build everything, try one step, one checkpoint and one sample; keep nothing."
)
@overrides
def train(
    config: str, output: Path | None, resume: bool, overwrite: bool, dry_run: bool, settings: tuple[str, ...]
) -> None:
    """Train what CONFIG describes: a YAML file, a recipe's name, or with --resume the folder of a run."""
    from nanogen_core.cli.options import resolved
    from nanogen_core.config import CONFIG
    from nanogen_train.cli.progress import training_progress

    if resume and dry_run:
        raise click.UsageError("--dry-run takes the first step of a fresh run: leave out --resume.")
    if resume and overwrite:
        raise click.UsageError("--resume goes on with a run and --overwrite moves it aside: leave one out.")
    folder = Path(config)
    if resume and (folder / CONFIG).is_file():
        config, output = str(folder / CONFIG), output or folder
    elif resume and folder.is_dir():
        raise TrainingError(f"There is nothing to resume in {folder}: it holds no {CONFIG}, so no run began there.")
    output = output or Path("runs") / folder.stem
    configuration = resolved(config, settings)
    from nanogen_core.pipeline import build_pipeline  # torch, once the configuration is known to be right
    from nanogen_train.distributed import processes
    from nanogen_train.logging import trackers
    from nanogen_train.trainer.loop import Run

    train_config = configuration.sections["train"]
    trackers.chosen(train_config.trackers)  # a name that leads nowhere, before anything is loaded
    if dry_run:
        from nanogen_train.trainer.dry_run import run_dry

        found = run_dry(configuration)
        if processes.rank() == 0:
            click.echo(_described(found))
        return
    pipeline = build_pipeline(configuration.as_dict())
    with training_progress(train_config.steps) as report:
        Run(pipeline, output, resume=resume, overwrite=overwrite, report=report).train()
    if processes.rank() == 0:
        click.echo(f"Trained {train_config.steps} steps. The pipeline, its log and its samples are in {output}.")


def _described(found: DryRun) -> str:
    scalars = "  ".join(f"{name} {found.scalars[name]:.4f}" for name in ("loss", "grad_norm"))
    total = [sum(column) for column in zip(*found.counts.values(), strict=True)]
    lines = [
        "  ".join(f"{name} {value}" for name, value in found.setting.items()),
        "",
        *(f"{name:18}{shape}" for name, shape in found.shapes.items()),
        "",
        f"{'parameters':18}{'all':>16}{'trained':>16}",
        *(f"{name:18}{a:16,}{b:16,}" for name, (a, b) in [*found.counts.items(), ("total", total)]),
        "",
        f"one step: {scalars}  {found.flops / 1e9:.3f} GFLOPs  {found.seconds:.1f} s (the first, with its batch)",
        f"checkpoint: {found.checkpoint / 1e6:,.1f} MB",
        *([f"samples: FAIL ({found.sheet}); the training would go on without sheets"] if found.sheet else []),
        "peak memory: " + ", ".join(f"{size / 1e6:,.0f} MB of the {what}" for what, size in found.peak.items()),
        "Nothing was written.",
    ]
    return "\n".join(lines)
