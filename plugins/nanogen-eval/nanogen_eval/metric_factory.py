"""The metrics that were named, built with the parts that they ask for: those of a pipeline, or those of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nanogen_core.assembly import Assembly
from nanogen_core.config import Part, Resolved, resolve
from nanogen_core.config_layers import same
from nanogen_core.errors import ConfigError, DataError, NanoGenError, listing, shown
from nanogen_core.pipeline import Pipeline
from nanogen_core.registry import Chosen, import_object, registry
from nanogen_core.tensors import Batch
from nanogen_data.labels import from_one, wrong
from nanogen_eval.protocols import Metric
from nanogen_files.structure import structure
from nanogen_files.typed import opened

TRAINED = ("classes", "encoder", "conditioner", "tokenizer", "latent", "backbone", "objective")
FREE = ("metric", "task", "dataset", "sampler", "guidance")  # what may be set over a trained pipeline's configuration


def of_pipeline(
    pipeline: Pipeline, names: Sequence[str], settings: Mapping[str, Any]
) -> tuple[Pipeline, dict[str, Metric]]:
    """The metrics of these names (none: those of the configuration), and the pipeline, with `settings` over both.

    Raises UnknownName for a metric that is not installed, Incompatible for one that this task cannot serve, and
    ConfigError for a setting that would need another training.
    """
    fixed = sorted(set(settings) - set(FREE))
    if fixed:
        raise ConfigError(
            f"{', '.join(fixed)} cannot be set for a trained pipeline; what can be: {listing(FREE)} (--set ...)."
        )
    asked = dict.fromkeys(names) or pipeline.config.groups["metric"]
    layer = {**settings, "metric": _options(asked, settings)}
    resolved = resolve(pipeline.config.as_dict(), layer)
    known = {name: pipeline.parts[name] for name in TRAINED if name in pipeline.parts}
    parts = Assembly(resolved, known)
    parts.excuse_dataset()
    return Pipeline(resolved, parts), {name: parts["metrics"][_written(name, resolved)] for name in _some(asked)}


def of_images(
    questions: Batch, names: Sequence[str], settings: Mapping[str, Any], context: Mapping[str, Any] | None = None
) -> dict[str, Metric]:
    """The metrics of these names for images that are there. `context` is a configuration whose parts (a dataset, a
    task) they may ask for. Raises UnknownName, ConfigError, and NanoGenError where the images lack labels or captions
    that a metric needs."""
    options = _options(dict.fromkeys(_some(names)), settings)
    if context is None:
        extra = sorted(set(settings) - {"metric"})
        if extra:
            raise ConfigError(f"Images have no {', '.join(extra)} to set: name a configuration with --config.")
        metrics = {name: _part(name, options[name]) for name in options}
        resolved = Resolved(image_size=0, seed=0, method=None, slots={}, groups={"metric": metrics}, removed={})
        parts = Assembly(resolved)
    else:
        resolved = resolve(context, {**settings, "metric": options})
        parts = Assembly(resolved)
    for name in options:
        _refuse_unasked(resolved.groups["metric"][_written(name, resolved)], questions)
    found = {name: parts["metrics"][_written(name, resolved)] for name in options}
    asking = [name for name in options if _asks_for(resolved.groups["metric"][_written(name, resolved)], "labels")]
    known = len(parts["classes"]) if context is not None and asking and questions.labels is not None else None
    _refuse_labels(
        questions, {name: getattr(found[name], "classes", known if name in asking else None) for name in found}
    )
    return found


def _asks_for(part: Part, word: str) -> bool:
    """Whether a metric needs a task that gives labels, or captions."""
    return word in part.chosen.component.needs.get("task", ())


def _written(name: str, resolved: Resolved) -> str:
    """The name of a metric as the configuration has it, perhaps with its distribution."""
    return next(written for written in resolved.groups["metric"] if same(written, name))


def _some(names: Any) -> Any:
    if not names:
        raise ConfigError(
            "There is no metric to judge by: name some with --metrics NAME,NAME; installed:"
            f" {listing(registry().components['metric'])}."
        )
    return names


def _options(asked: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """The options of each metric that was asked for."""
    given = settings.get("metric", {})
    if not isinstance(given, Mapping):
        raise ConfigError("--set metric.NAME.OPTION=VALUE sets an option; --metrics says which metrics there are.")
    unasked = sorted(set(given) - set(asked))
    if unasked:
        raise ConfigError(f"An option is set of {listing(unasked)}, and the metrics asked for are {listing(asked)}.")
    options = {name: opened(given.get(name, {})) for name in asked}
    for name, value in options.items():
        if not isinstance(value, Mapping):
            raise ConfigError(f"metric.{name}: expected a mapping of options, got {shown(value)}")
    return {name: dict(value) for name, value in options.items()}


def _part(name: str, options: Mapping[str, Any]) -> Part:
    offer = registry().component("metric", name)
    component = offer.what
    path = f"metric.{name}"
    if component.config is None and options:
        raise ConfigError(f"{path}: {component.name!r} takes no options, got {listing(options)}.")
    config = None if component.config is None else structure(options, import_object(component.config), path)
    return Part(Chosen(component, offer.distribution, options), name, config)


def _refuse_labels(questions: Batch, judges: Mapping[str, int | None]) -> None:
    """Raises DataError for a label that a metric has no class for: it would count as a wrong picture.

    `judges`: the number of classes of each metric, its own or that of the configuration; None where nobody knows it.
    """
    if questions.labels is None:
        return
    for name, classes in judges.items():
        if classes is None:
            continue
        outside = (questions.labels >= classes).nonzero()[:, 0].tolist()
        if outside:
            value = int(questions.labels[outside[0]])
            hint = from_one(questions.labels.tolist(), classes)
            raise DataError(f"{wrong(value, classes, f'image {outside[0]}')} So the metric {name!r} has them.{hint}")


def _refuse_unasked(part: Part, questions: Batch) -> None:
    """Raises NanoGenError where a metric of labels or captions is to judge images without any."""
    component = part.chosen.component
    present = {"labels": questions.labels is not None, "captions": questions.captions is not None}
    missing = [word for word in component.needs.get("task", ()) if not present.get(word, True)]
    own = getattr(import_object(component.target), "eval_batch", None)
    if missing and own is None:
        file = {"labels": "labels.csv (file,label)", "captions": "prompts.csv (file,prompt)"}[missing[0]]
        raise NanoGenError(
            f"The metric {part.name!r} needs {missing[0]}, and nothing says what these images show: write {file} beside"
            " them."
        )
