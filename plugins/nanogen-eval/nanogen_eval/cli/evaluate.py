"""The command `nanogen evaluate`."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nanogen_cluster.options import SLURM, job_options
from nanogen_cluster.resources import Resources
from nanogen_core.cli.options import BATCH, FEW, IMAGES, SCALE, SEED, STEPS, Number, SavedPipeline, overrides
from nanogen_core.validators import BILLION, at_least, between

if TYPE_CHECKING:
    from nanogen_eval.evaluate import Evaluation
    from nanogen_eval.options import ProgressCallback
    from nanogen_eval.protocols import Metric
    from nanogen_eval.score import Interval, Score
    from nanogen_eval.targets import EvalTarget


#: Options that apply only to samples of a model: parameter -> option.
SAMPLING_OPTIONS = {
    "seeds": "--seed",
    "steps": "--steps",
    "guidance": "--guidance",
    "scales": "--guidance-search",
    "guidance_by": "--guidance-by",
    "keep_images": "--keep-images",
    "reconstruct": "--reconstruct",
    "rounding": "--rounding",
    "compiled": "--compile",
    "no_tf32": "--no-tf32",
}


def _names(context: click.Context, parameter: click.Parameter, text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _scales(context: click.Context, parameter: click.Parameter, text: str) -> list[float]:
    return [SCALE.convert(word, parameter, context) for word in text.split(",") if word.strip()]


@click.command()
@click.argument("source", type=SavedPipeline())
@click.option("--metrics", callback=_names, default="", help="Metrics NAME,NAME; by default the metrics of the run.")
@click.option(
    "--count",
    type=IMAGES,
    help="Number of images; by default 50,000 samples, or all images of SOURCE.",
)
@click.option(
    "--seed", "seeds", type=SEED, multiple=True, help="Sampling seed; repeatable, scores are means over seeds."
)
@click.option("--steps", type=STEPS, help="Number of sampling steps; by default as configured.")
@click.option("--guidance", type=SCALE, help="Guidance scale, 1 for none; by default as configured.")
@click.option("--guidance-search", "scales", callback=_scales, default="", help="Use the best of these scales: 1,2,3.")
@click.option("--guidance-by", help="Score that --guidance-search optimizes; by default the first one.")
@click.option(
    "--batch-size",
    type=BATCH,
    help="Images per batch; by default 64, and 256 on a GPU. Halved if the GPU's memory is too small.",
)
@click.option("--compile", "compiled", is_flag=True, help="Compile the network with torch.compile.")
@click.option(
    "--no-tf32", is_flag=True, help="Sample in float32 on an NVIDIA GPU, without TF32. Metrics never use TF32."
)
@click.option(
    "--rounding",
    type=click.Choice(["round", "truncate"]),
    default="round",
    show_default=True,
    help="Conversion of samples to 8 bits.",
)
@click.option(
    "--intervals",
    type=Number(int, at_least(0, 1_000_000)),
    help="Bootstrap draws per interval, 0 for none; by default 1000, or 100 for slow metrics such as FID.",
)
@click.option("--reconstruct", is_flag=True, help="Evaluate the tokenizer: encode and decode validation images.")
@click.option("--keep-images", is_flag=True, help="Write the samples as image files into OUTPUT/images.")
@click.option("--config", help="For images: configuration with the dataset and task that the metrics use.")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="Folder of scores.json; by default SOURCE, or NAME.scores beside NAME.npz.",
)
@click.option(
    "--save-every",
    type=Number(float, between(0, BILLION)),
    default=60.0,
    show_default=True,
    help="Seconds between saved states.",
)
@click.option("--jobs", type=FEW, help="Number of SLURM jobs that divide the images.")
@job_options(local_gpus=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@overrides
def evaluate(
    source: Path,
    as_json: bool,
    jobs: int | None,
    executor: str,
    resources: Resources,
    wait: bool,
    **options: Any,
) -> None:
    """Score samples of a run or saved pipeline, or the images in a folder or .npz file.

    Writes the scores with their settings and intervals to scores.json. Run the same command again to resume an
    interrupted evaluation. Under torchrun, the processes divide the images. With `--executor slurm --jobs N`, N jobs
    of a SLURM array divide them, and a last job combines their parts.
    """
    from nanogen_cluster.arrays import logs_beside, refuse_submitted
    from nanogen_core.errors import DataError
    from nanogen_data.loader import DataShard
    from nanogen_files.interruption import on_interrupt

    if not source.exists():
        raise DataError(f"{source} does not exist. Give a run, a saved pipeline, hf://user/name, or images.")
    if executor == SLURM:
        if (found := _submit(source, options, jobs, resources, wait)) is not None:
            _show(*found, as_json)
        return
    if jobs is not None:
        raise click.UsageError("Only --executor slurm uses --jobs. Add --executor slurm, or leave --jobs out.")
    if not DataShard.here().rank:
        refuse_submitted(logs_beside(_folder(source, options)))
    saved = f"The images measured until the last save (every {options['save_every']:g} s) are kept"
    with on_interrupt(f"Stopped. {saved}: the same command continues from there."):
        scores, folder = evaluate_source(source, options)
    if not DataShard.here().rank:
        _show(scores, folder, as_json)


def evaluate_source(source: Path, options: dict[str, Any]) -> tuple[list[Score], Path]:
    """Return the scores of a model or of images, and the folder of `scores.json`.

    Args:
        source: As in the command.
        options: Options of the command, by parameter name.
    """
    from nanogen_eval.cli.progress import progress_reporter
    from nanogen_eval.protocols import NotedWarning

    with progress_reporter() as report, warnings.catch_warnings():
        warnings.simplefilter("ignore", NotedWarning)
        evaluation, target, seeds = _prepared(source, options, report)
        return evaluation.scores(target, seeds), _folder(source, options)


def evaluate_part(source: Path, options: dict[str, Any], part: int, parts: int) -> None:
    """Measure one part of the images and save its metric states, which `evaluate_source` combines.

    Args:
        source: As in the command.
        options: Options of the command, by parameter name.
        part: Index of the part.
        parts: Number of parts.
    """
    from nanogen_data.loader import DataShard
    from nanogen_eval.cli.progress import progress_reporter

    with progress_reporter() as report:
        evaluation, target, seeds = _prepared(source, options, report)
        evaluation.measure_part(target, seeds, DataShard(part, parts))


def _submit(
    source: Path, options: dict[str, Any], jobs: int | None, resources: Resources, wait: bool
) -> tuple[list[Score], Path] | None:
    """Submit the evaluation to SLURM. Returns the scores and their folder if it has ended."""
    from nanogen_cluster.arrays import ArrayWork, Call, logs_beside, run_array
    from nanogen_cluster.queues import SlurmQueue

    if jobs is None:
        raise click.UsageError("--executor slurm needs --jobs, the number of jobs that divide the images.")
    for name in ("scales", "keep_images"):
        if options[name]:
            raise click.UsageError(f"{SAMPLING_OPTIONS[name]} is not possible with --executor slurm: use torchrun.")
    if (resources.gpus or 1) > 1:
        raise click.UsageError("A job of `evaluate` uses one GPU. Set --gpus-per-job 1, and raise --jobs instead.")
    source = source.absolute()
    options = {**options, "output": options["output"] and options["output"].absolute()}
    work = ArrayWork(
        parts=[Call(evaluate_part, source=source, options=options, part=part, parts=jobs) for part in range(jobs)],
        last=Call(evaluate_source, source=source, options=options),
        request={"source": str(source), "jobs": jobs, "options": json.loads(json.dumps(options, default=str))},
        logs=logs_beside(_folder(source, options)),
        title=f"nanogen evaluate {source.name}",
    )
    ended, result = run_array(work, SlurmQueue(resources), wait=wait, log=lambda line: click.echo(line, err=True))
    return result if ended else None


def _prepared(
    source: Path, options: dict[str, Any], report: ProgressCallback
) -> tuple[Evaluation, EvalTarget, Sequence[int]]:
    """Return the evaluation of a source, what it evaluates, and the sampling seeds."""
    return (_prepared_run if _is_run(source) else _prepared_images)(source, options, report)


def _is_run(source: Path) -> bool:
    from nanogen_core.config import CONFIG

    return (source / CONFIG).is_file()


def _prepared_run(
    source: Path, options: dict[str, Any], report: ProgressCallback
) -> tuple[Evaluation, EvalTarget, Sequence[int]]:
    """Load a model and search for its guidance scale, if the options say so."""
    from nanogen_core.cli.options import override_layer
    from nanogen_core.errors import ConfigError
    from nanogen_core.pipeline import Pipeline
    from nanogen_eval import metric_factory
    from nanogen_eval.options import Sampling
    from nanogen_eval.targets import Model, Reconstructions

    if options["scales"] and options["guidance"] is not None:
        raise ConfigError("--guidance and --guidance-search exclude each other: give one of them.")
    loaded = Pipeline.load(source, device=_device())
    pipeline, metrics = metric_factory.of_pipeline(loaded, options["metrics"], override_layer(options["settings"]))
    if options["reconstruct"]:
        _refuse_sampling_options({**options, "reconstruct": False, "rounding": None})
        reconstructions = Reconstructions(pipeline, options["count"], options["rounding"])
        return _evaluation(source, metrics, options, report), reconstructions, ()
    if options["compiled"] and pipeline.backbone is not None:  # without one, sampling explains what is missing
        pipeline.backbone.compile()
    given = {name: options[name] for name in ("steps", "guidance", "rounding")}
    sampling = Sampling(**given, tf32=not options["no_tf32"])
    model, seeds = Model(pipeline, options["count"], sampling), options["seeds"] or (0,)
    evaluation = _evaluation(source, metrics, options, report)
    if options["scales"]:
        model = evaluation.searched(model, options["scales"], seeds=seeds, by=options["guidance_by"])
    return evaluation, model, seeds


def _prepared_images(
    source: Path, options: dict[str, Any], report: ProgressCallback
) -> tuple[Evaluation, EvalTarget, Sequence[int]]:
    """Open a folder or file of images."""
    from nanogen_core.cli.options import override_layer
    from nanogen_core.config import load_config
    from nanogen_eval import metric_factory
    from nanogen_eval.sources.archive import Archive
    from nanogen_eval.sources.folder import Folder
    from nanogen_eval.targets import Images

    _refuse_sampling_options(options)
    images = Folder(source, count=options["count"]) if source.is_dir() else Archive(source, count=options["count"])
    context = None if options["config"] is None else load_config(options["config"])
    settings = override_layer(options["settings"])
    metrics = metric_factory.of_images(images.requests, options["metrics"], settings, context)
    return _evaluation(source, metrics, options, report), Images(images), ()


def _refuse_sampling_options(options: dict[str, Any]) -> None:
    """Raise ConfigError for options that apply only to samples of a model."""
    from nanogen_core.errors import ConfigError

    given = [word for name, word in SAMPLING_OPTIONS.items() if options[name] not in (None, (), [], False, "round")]
    if given:
        them = "it" if len(given) == 1 else "them"
        raise ConfigError(f"This command samples no model, so it cannot use {', '.join(given)}. Remove {them}.")


def _evaluation(
    source: Path, metrics: dict[str, Metric], options: dict[str, Any], report: ProgressCallback
) -> Evaluation:
    from nanogen_eval.evaluate import Evaluation
    from nanogen_eval.options import BootstrapConfig, EvalOptions

    return Evaluation(
        metrics=metrics,
        folder=_folder(source, options),
        options=EvalOptions(
            batch_size=options["batch_size"] or (64 if _device() == "cpu" else 256), save_every=options["save_every"]
        ),
        bootstrap=BootstrapConfig(draws=options["intervals"]),
        about={"source": str(source)},
        keep_images=options["keep_images"],
        report=report,
    )


def _folder(source: Path, options: dict[str, Any]) -> Path:
    """Return the folder of the scores."""
    from nanogen_files.hub import output_folder

    beside = output_folder(source) if source.is_dir() else source.with_name(f"{source.stem}.scores")
    return Path(options["output"] or beside)


def _device() -> str:
    """Return the GPU of this process, or the CPU."""
    import os

    import torch

    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if torch.cuda.is_available() else "cpu"


def _show(scores: Sequence[Score], folder: Path, as_json: bool) -> None:
    from nanogen_eval.record import FILE, as_dict

    if as_json:
        click.echo(json.dumps([as_dict(score) for score in scores], indent=2, ensure_ascii=False))
        return
    width = max((len(score.metric) for score in scores), default=0)
    for score in scores:
        click.echo(f"{score.metric:<{width}}  {_line(score)}")
    for note in dict.fromkeys(note for score in scores for note in score.about.get("notes", ())):
        click.echo(f"Note: {note}")
    click.echo(f"Scores with all settings: {folder / FILE}.")


def _line(score: Score) -> str:
    """`0.934 +- 0.004  [0.918, 0.949]  higher is better  n 1024 x 3 seeds  9f86d081884c7d65`"""
    spread = "" if score.spread is None else f" +- {score.spread:.2g}"
    interval = "no interval" if score.interval is None else _bounds(score.interval)
    seeds = f" x {len(score.seeds)} seeds" if len(score.seeds) > 1 else ""
    better = "higher" if score.higher_is_better else "lower"
    return f"{score.value:.4g}{spread}  {interval}  {better} is better  n {score.n}{seeds}  {score.fingerprint}"


def _bounds(interval: Interval) -> str:
    return f"[{interval.low:.4g}, {interval.high:.4g}] at {interval.level:.0%} ({interval.method})"
