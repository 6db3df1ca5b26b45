"""Command `nanogen train`."""

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
    "--output",
    type=click.Path(path_type=Path),
    help="Folder of the run; default: runs/NAME of the configuration.",
)
@click.option(
    "--init", help="Start from the weights of a run, a saved pipeline or a file. Same as --set train.init=..."
)
@click.option("--resume", is_flag=True, help="Resume from the newest checkpoint.")
@click.option("--overwrite", is_flag=True, help="Move the content of the output folder aside and start a new run.")
@click.option(
    "--dry-run", is_flag=True, help="Build everything and try one step, one checkpoint and one sample. Keeps no files."
)
@overrides
def train(
    config: str,
    output: Path | None,
    init: str | None,
    resume: bool,
    overwrite: bool,
    dry_run: bool,
    settings: tuple[str, ...],
) -> None:
    """Train CONFIG: a YAML file, a recipe's name, or, with --resume, the folder of a run."""
    from nanogen_core.cli.options import resolved
    from nanogen_core.config import CONFIG
    from nanogen_core.registry import registry
    from nanogen_files.errors import counted
    from nanogen_train.cli.progress import training_progress

    if resume and dry_run:
        raise click.UsageError("--dry-run takes the first step of a new run: remove --resume.")
    if resume and overwrite:
        raise click.UsageError("--resume continues a run and --overwrite moves it aside: use only one of them.")
    if resume and init is not None:
        raise click.UsageError("--init starts a new run: remove --resume, which continues with the weights of the run.")
    settings = (*settings, f"train.init={init}") if init is not None else settings
    folder = Path(config)
    if resume and (folder / CONFIG).is_file():
        config, output = str(folder / CONFIG), output or folder
    elif resume and folder.is_dir():
        raise TrainingError(f"Cannot resume {folder}: it contains no {CONFIG}. Give the folder of a run.")
    elif (folder / CONFIG).is_file() and config not in registry().recipes:
        raise TrainingError(
            f"{folder} is the folder of a run or pipeline. Add --resume to continue the run, or give"
            f" {folder / CONFIG} to train its configuration again."
        )
    output = output or Path("runs") / folder.stem
    configuration = resolved(config, settings)
    from nanogen_core.pipeline import build_pipeline  # imports torch, so only after the configuration is checked
    from nanogen_train.distributed import processes
    from nanogen_train.init import source
    from nanogen_train.logging import trackers
    from nanogen_train.trainer.loop import Run

    train_config = configuration.sections["train"]
    trackers.chosen(train_config.trackers)  # reports an unknown tracker before anything is loaded
    if train_config.init is not None and not resume:
        source.find(train_config.init)  # likewise
    if dry_run:
        from nanogen_train.trainer.dry_run import run_dry

        result = run_dry(configuration)
        if processes.rank() == 0:
            click.echo(_described(result))
        return
    pipeline = build_pipeline(configuration.as_dict())
    run = Run(pipeline, output, resume=resume, overwrite=overwrite)
    if run.init is not None and processes.rank() == 0:
        click.echo(str(run.init))
    with training_progress(train_config.steps) as run.report:
        run.train()
    if processes.rank() == 0:
        trained = counted(train_config.steps, "step")
        click.echo(f"Trained {trained}. The pipeline, its log and its samples are in {output}.")


def _described(result: DryRun) -> str:
    scalars = "  ".join(f"{name} {result.scalars[name]:.4f}" for name in ("loss", "grad_norm"))
    total = [sum(column) for column in zip(*result.counts.values(), strict=True)]
    lines = [
        *([] if result.init is None else [result.init, ""]),
        "  ".join(f"{name} {value}" for name, value in result.setting.items()),
        "",
        *(f"{name:18}{shape}" for name, shape in result.shapes.items()),
        "",
        f"{'parameters':18}{'all':>16}{'trained':>16}",
        *(f"{name:18}{a:16,}{b:16,}" for name, (a, b) in [*result.counts.items(), ("total", total)]),
        "",
        f"one step: {scalars}  {result.flops / 1e9:.3f} GFLOPs  {result.seconds:.1f} s (including the first batch)",
        f"checkpoint: {result.checkpoint / 1e6:,.1f} MB",
        *([f"samples: FAIL ({result.sheet}); training would continue without sample sheets"] if result.sheet else []),
        "peak memory: " + ", ".join(f"{size / 1e6:,.0f} MB of the {what}" for what, size in result.peak.items()),
        "Nothing was written.",
    ]
    return "\n".join(lines)
