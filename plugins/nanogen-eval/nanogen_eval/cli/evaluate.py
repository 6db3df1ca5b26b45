"""`nanogen evaluate`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nanogen_core.cli.options import BATCH, IMAGES, SCALE, SEED, STEPS, Number, overrides
from nanogen_core.validators import BILLION, at_least, between

if TYPE_CHECKING:
    from nanogen_core.pipeline import Pipeline
    from nanogen_eval.cli.progress import Report
    from nanogen_eval.evaluate import Evaluation
    from nanogen_eval.protocols import Metric
    from nanogen_eval.score import Interval, Score


#: What only samples that are made have, and its words on the command line.
SAMPLING = {
    "seeds": "--seed",
    "steps": "--steps",
    "guidance": "--guidance",
    "scales": "--guidance-search",
    "guidance_by": "--guidance-by",
    "keep_images": "--keep-images",
    "reconstruct": "--reconstruct",
    "rounding": "--rounding",
}


def _names(context: click.Context, parameter: click.Parameter, text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _scales(context: click.Context, parameter: click.Parameter, text: str) -> list[float]:
    return [SCALE.convert(word, parameter, context) for word in text.split(",") if word.strip()]


@click.command()
@click.argument("source", type=click.Path(path_type=Path, exists=True))
@click.option("--metrics", callback=_names, default="", help="Names, with commas; by default those of the run.")
@click.option(
    "--count",
    type=IMAGES,
    help="Images; by default 50,000 samples, or all that are there.",
)
@click.option("--seed", "seeds", type=SEED, multiple=True, help="Of the samples; repeatable: the mean is the score.")
@click.option("--steps", type=STEPS, help="Sampling steps; by default as configured.")
@click.option("--guidance", type=SCALE, help="Guidance scale, 1 for none; by default as configured.")
@click.option("--guidance-search", "scales", callback=_scales, default="", help="Take the best of these scales: 1,2,3")
@click.option("--guidance-by", help="The score that the search goes by; by default the first one.")
@click.option("--batch-size", type=BATCH, default=64, show_default=True)
@click.option("--rounding", type=click.Choice(["round", "truncate"]), default="round", show_default=True)
@click.option(
    "--intervals", type=Number(int, at_least(0, 1_000_000)), help="Bootstrap draws, 0 for none; by default 1000."
)
@click.option("--reconstruct", is_flag=True, help="Judge the tokenizer: real images through it and back.")
@click.option("--keep-images", is_flag=True, help="Write the samples as PNG files into OUTPUT/images.")
@click.option("--config", help="For images: the configuration whose dataset and task a metric asks for.")
@click.option("--output", type=click.Path(path_type=Path), help="Folder of scores.json; by default beside SOURCE.")
@click.option("--save-every", type=Number(float, between(0, BILLION)), default=60.0, show_default=True, help="Seconds.")
@click.option("--json", "as_json", is_flag=True, help="JSON in place of a text.")
@overrides
def evaluate(source: Path, as_json: bool, **options: Any) -> None:
    """Judge the samples of a run or a saved pipeline, a folder of images, or an .npz of them, from any program.

    The scores, with their settings and intervals, go to scores.json. The same command goes on with what was stopped.
    Under torchrun, the processes share the work.
    """
    from nanogen_data.loader import DataShard
    from nanogen_eval.cli.progress import tally

    with tally() as report:
        judged = _judge_run if _is_run(source) else _judge_images
        scores, folder = judged(source, options, report)
    if not DataShard.here().rank:
        _show(scores, folder, as_json)


def _is_run(source: Path) -> bool:
    from nanogen_core.config import CONFIG

    return (source / CONFIG).is_file()


def _judge_run(source: Path, options: dict[str, Any], report: Report) -> tuple[list[Score], Path]:
    """The scores of a model, and the folder in which they lie."""
    from nanogen_core.cli.options import override_layer
    from nanogen_core.errors import ConfigError
    from nanogen_core.pipeline import Pipeline
    from nanogen_eval import metric_factory
    from nanogen_eval.options import Sampling
    from nanogen_eval.targets import Model

    if options["scales"] and options["guidance"] is not None:
        raise ConfigError("--guidance says the scale that --guidance-search is to find: give one of them.")
    loaded = Pipeline.load(source, device=_device())
    pipeline, metrics = metric_factory.of_pipeline(loaded, options["metrics"], override_layer(options["settings"]))
    if options["reconstruct"]:
        return _judge_tokenizer(source, pipeline, metrics, options, report)
    sampling = Sampling(**{name: options[name] for name in ("steps", "guidance", "rounding")})
    model, seeds = Model(pipeline, options["count"], sampling), options["seeds"] or (0,)
    evaluation, folder = _evaluation(source, metrics, options, report)
    if options["scales"]:
        model = evaluation.searched(model, options["scales"], seeds=seeds, by=options["guidance_by"])
    return evaluation.scores(model, seeds), folder


def _judge_tokenizer(
    source: Path, pipeline: Pipeline, metrics: dict[str, Metric], options: dict[str, Any], report: Report
) -> tuple[list[Score], Path]:
    """The scores of reconstructions, and the folder in which they lie."""
    from nanogen_eval.targets import Reconstructions

    _refuse_sampling({**options, "reconstruct": False, "rounding": None})
    evaluation, folder = _evaluation(source, metrics, options, report)
    return evaluation.scores(Reconstructions(pipeline, options["count"], options["rounding"])), folder


def _judge_images(source: Path, options: dict[str, Any], report: Report) -> tuple[list[Score], Path]:
    """The scores of images that are there, and the folder in which they lie."""
    from nanogen_core.cli.options import override_layer
    from nanogen_core.config import load_config
    from nanogen_eval import metric_factory
    from nanogen_eval.sources.archive import Archive
    from nanogen_eval.sources.folder import Folder
    from nanogen_eval.targets import Images

    _refuse_sampling(options)
    images = Folder(source, count=options["count"]) if source.is_dir() else Archive(source, count=options["count"])
    context = None if options["config"] is None else load_config(options["config"])
    settings = override_layer(options["settings"])
    metrics = metric_factory.of_images(images.questions, options["metrics"], settings, context)
    evaluation, folder = _evaluation(source, metrics, options, report)
    return evaluation.scores(Images(images)), folder


def _refuse_sampling(options: dict[str, Any]) -> None:
    """Images that are there are judged as they are."""
    from nanogen_core.errors import ConfigError

    given = [words for name, words in SAMPLING.items() if options[name] not in (None, (), [], False, "round")]
    if given:
        raise ConfigError(
            f"{', '.join(given)} belongs to a model's samples, which are not what is judged here: leave it out."
        )


def _evaluation(
    source: Path, metrics: dict[str, Metric], options: dict[str, Any], report: Report
) -> tuple[Evaluation, Path]:
    from nanogen_eval.evaluate import Evaluation
    from nanogen_eval.options import BootstrapConfig, EvalOptions

    beside = source if source.is_dir() else source.with_name(f"{source.stem}.scores")
    folder = options["output"] or beside
    evaluation = Evaluation(
        metrics=metrics,
        folder=folder,
        effort=EvalOptions(batch_size=options["batch_size"], save_every=options["save_every"]),
        certainty=BootstrapConfig(draws=options["intervals"]),
        about={"source": str(source)},
        keep=options["keep_images"],
        report=report,
    )
    return evaluation, folder


def _device() -> str:
    """The accelerator of this process, where there is one."""
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
    click.echo(f"With all settings: {folder / FILE}.")


def _line(score: Score) -> str:
    """`0.934 +- 0.004  [0.918, 0.949]  higher is better  n 1024 x 3 seeds  9f86d081884c7d65`"""
    spread = "" if score.spread is None else f" +- {score.spread:.2g}"
    ends = "no interval" if score.interval is None else _ends(score.interval)
    seeds = f" x {len(score.seeds)} seeds" if len(score.seeds) > 1 else ""
    way = "higher" if score.higher_is_better else "lower"
    return (
        f"{score.value:.4g}{spread}  {ends or 'no interval'}  {way} is better  n {score.n}{seeds}  {score.fingerprint}"
    )


def _ends(known: Interval) -> str:
    return f"[{known.low:.4g}, {known.high:.4g}] at {known.level:.0%} ({known.method})"
