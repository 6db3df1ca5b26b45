"""`nanogen demo`: trains a demo recipe, evaluates the model and writes samples."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nanogen_core.cli.options import IMAGES, overrides
from nanogen_files.errors import counted

if TYPE_CHECKING:
    from nanogen_core.pipeline import Pipeline
    from nanogen_core.tensors import Batch
    from nanogen_train.trainer.loop import Run

RECIPE = "demo"
SAMPLES = 1024  # samples that are evaluated
COLUMNS, ROWS = 12, 4  # of samples.png, below a row of real images


@click.command()
@click.option("--recipe", default=RECIPE, show_default=True, help="The recipe, such as demo-photos.")
@click.option("--task", help="The task: imagenet (default) or t2i.")
@click.option(
    "--output", type=click.Path(path_type=Path), help="The folder. Default: runs/RECIPE, or runs/RECIPE-TASK."
)
@click.option("--samples", type=IMAGES, default=SAMPLES, show_default=True, help="Samples to evaluate.")
@overrides
def demo(recipe: str, task: str | None, output: Path | None, samples: int, settings: tuple[str, ...]) -> None:
    """Train a demo recipe, evaluate the model and write samples. A finished demo in the folder is moved aside first."""
    from nanogen_eval import evaluate_pipeline
    from nanogen_eval.record import write_scores
    from nanogen_files import storage
    from nanogen_files.interruption import on_interrupt

    chosen = (*settings, *([f"task={task}"] if task else []))
    output = output or Path("runs") / (f"{recipe}-{task}" if task else recipe)
    run, pipeline = _train(recipe, chosen, output)
    click.echo(f"Evaluating {samples} samples ...", err=True)
    with on_interrupt(f"Stopped. The trained model is in {output}: the same command evaluates it."):
        scores = evaluate_pipeline(pipeline, samples, seed=pipeline.config.seed)
    write_scores(output, scores)
    summary = {**{score.metric: round(score.value, 4) for score in scores}, **_figures(run, pipeline)}
    storage.write_json(output / "summary.json", summary)
    _write_samples(pipeline, output / "samples.png")
    _note_short(recipe, run.step)
    click.echo(f"Images: {output / 'samples.png'}. Figures: {output / 'summary.json'}. Log: {output / 'log.jsonl'}.")
    click.echo("  ".join(f"{name} {value}" for name, value in summary.items()))


def _train(recipe: str, settings: tuple[str, ...], output: Path) -> tuple[Run, Pipeline]:
    from nanogen_core.cli.options import resolved
    from nanogen_core.pipeline import build_pipeline
    from nanogen_train.checkpoint import checkpoint
    from nanogen_train.cli.progress import training_progress
    from nanogen_train.trainer.loop import Run

    configuration = resolved(recipe, settings)
    finished = (output / "summary.json").exists()
    resume = bool(checkpoint.steps_in(output)) and not finished
    pipeline = build_pipeline(configuration.as_dict())
    _check_metrics(pipeline)
    steps = configuration.sections["train"].steps
    click.echo(f"Training {counted(steps, 'step')} into {output} ...", err=True)
    with training_progress(steps) as report:
        run = Run(pipeline, output, resume=resume, overwrite=finished, restart=True, report=report)
        return run, run.train()


def _note_short(recipe: str, steps: int) -> None:
    """Say that a run of fewer steps than the recipe's was too short for its scores."""
    from nanogen_core.cli.options import resolved

    full = resolved(recipe, ()).sections["train"].steps
    if steps < full:
        click.echo(
            f"Note: the run was too short for good images, so low scores such as an accuracy of 0 are expected: it took"
            f" {counted(steps, 'step')}, and the recipe has {full}.",
            err=True,
        )


def _check_metrics(pipeline: Pipeline) -> None:
    """Read the settings of all metrics. Raises DataError for missing weights, before the training."""
    for metric in pipeline.task.metrics().values():
        getattr(metric, "settings", None)


def _figures(run: Run, pipeline: Pipeline) -> dict[str, Any]:
    from nanogen_train.logging import metrics_log

    last = next(entry for entry in reversed(metrics_log.read(run.folder)) if "images_per_second" in entry)
    return {
        "train_seconds": round(last["seconds"], 1),  # with encoding the data and sampling grids
        "steps": run.step,
        "images_per_second": round(last["images_per_second"], 1),  # of the last steps
        "parameters": sum(parameter.numel() for parameter in pipeline.backbone.parameters()),
        "seed": run.seed,
        "precision": run.engine.precision,
    }


def _write_samples(pipeline: Pipeline, path: Path) -> None:
    """Write a labelled grid: real images in the first row, and samples for the same conditions below."""
    from nanogen_files.images import grid, to_pil

    real = _spread(next(iter(pipeline.task.iter_once("val", 64))))
    assert real.images is not None
    images = to_pil(real.images)
    for row in range(ROWS):
        images += to_pil(pipeline.sample(real, seed=pipeline.config.seed + row))
    captions = list(pipeline.task.captions(real))
    grid(images, captions + [""] * (ROWS * COLUMNS), columns=COLUMNS).save(path)


def _spread(batch: Batch) -> Batch:
    """`COLUMNS` examples, evenly spaced over the batch."""
    import torch

    rows = torch.linspace(0, len(batch.indices) - 1, COLUMNS).long()
    parts = [batch.part(int(row), int(row) + 1) for row in rows]
    return type(batch)(
        indices=torch.arange(COLUMNS),
        images=torch.cat([part.images for part in parts if part.images is not None]),
        labels=None if batch.labels is None else batch.labels[rows],
        captions=None if batch.captions is None else [text for part in parts for text in part.captions or ()],
    )
