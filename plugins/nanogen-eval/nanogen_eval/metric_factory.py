"""Construction of metrics, for a pipeline or for existing images."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from nanogen_core.assembly import Assembly, known_words
from nanogen_core.config import Part, Resolved, resolve
from nanogen_core.config_layers import same
from nanogen_core.errors import ConfigError, DataError, NanoGenError, listing, shown
from nanogen_core.pipeline import FREE, Pipeline
from nanogen_core.registry import Chosen, import_object, registry
from nanogen_core.tensors import Batch
from nanogen_data.labels import from_one, wrong
from nanogen_eval.protocols import Metric
from nanogen_files.structure import structure
from nanogen_files.typed import opened


def of_pipeline(
    pipeline: Pipeline, names: Sequence[str], settings: Mapping[str, Any]
) -> tuple[Pipeline, dict[str, Metric]]:
    """Build metrics for a trained pipeline.

    Args:
        pipeline: The trained pipeline.
        names: Names of the metrics. Empty for the metrics of the configuration.
        settings: Configuration that overrides the pipeline's. It may change only metrics and the parts in
            `nanogen_core.pipeline.FREE`.

    Returns:
        The pipeline with the changed configuration, and the metrics by name.

    Raises:
        UnknownName: A metric is not installed.
        Incompatible: The task lacks something that a metric needs.
        ConfigError: No metric is given or configured, or a setting cannot be changed after training.
    """
    chosen = dict.fromkeys(names) or pipeline.config.groups["metric"]
    layer = {**settings, "metric": _options(chosen, settings)}
    changed = pipeline.reconfigured(layer, ("metric", *FREE))
    metrics = changed.parts["metrics"]
    return changed, {name: metrics[_written(name, changed.config)] for name in _not_empty(chosen)}


def of_images(
    requests: Batch, names: Sequence[str], settings: Mapping[str, Any], context: Mapping[str, Any] | None = None
) -> dict[str, Metric]:
    """Build metrics for existing images.

    Args:
        requests: Labels and captions of the images.
        names: Names of the metrics.
        settings: Options of the metrics. With a `context`, they may also override its other parts.
        context: Configuration whose dataset and task the metrics may use.

    Returns:
        The metrics by name.

    Raises:
        UnknownName: A metric is not installed.
        ConfigError: No metric is named, a setting is not accepted, or a metric needs a configuration.
        DataError: A label is outside a metric's classes.
        NanoGenError: The images lack labels or captions that a metric needs.
    """
    options = _options(dict.fromkeys(_not_empty(names)), settings)
    if context is None:
        extra = sorted(set(settings) - {"metric"})
        if extra:
            raise ConfigError(f"--set {', '.join(extra)}: images have no configuration to change. Add --config FILE.")
        metrics = {name: _part(name, options[name]) for name in options}
        resolved = Resolved(image_size=0, seed=0, method=None, slots={}, groups={"metric": metrics}, removed={})
        parts = Assembly(resolved)
    else:
        resolved = resolve(context, {**settings, "metric": options})
        parts = Assembly(resolved)
    for name in options:
        part = resolved.groups["metric"][_written(name, resolved)]
        _refuse_missing(part, requests)
        if context is None:
            _refuse_without_configuration(part)
    metrics_by_name = {name: parts["metrics"][_written(name, resolved)] for name in options}
    read_labels = [name for name in options if _needs(resolved.groups["metric"][_written(name, resolved)], "labels")]
    known = len(parts["classes"]) if context is not None and read_labels and requests.labels is not None else None
    classes = {
        name: getattr(metric, "classes", known if name in read_labels else None)
        for name, metric in metrics_by_name.items()
    }
    _refuse_labels(requests, classes)
    return metrics_by_name


def _needs(part: Part, word: str) -> bool:
    """Return whether a metric needs a task that provides `word`: labels or captions."""
    return word in part.chosen.component.needs.get("task", ())


def _written(name: str, resolved: Resolved) -> str:
    """Return the metric's key in the resolved configuration, which may include its distribution."""
    return next(written for written in resolved.groups["metric"] if same(written, name))


def _not_empty(names: Any) -> Any:
    if not names:
        raise ConfigError(
            "No metric is given. Choose some with --metrics NAME,NAME. Installed metrics:"
            f" {listing(registry().components['metric'])}."
        )
    return names


def _options(chosen: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of each chosen metric."""
    given = settings.get("metric", {})
    if not isinstance(given, Mapping):
        raise ConfigError(
            "--set metric=... is not accepted: choose metrics with --metrics, options with --set"
            " metric.NAME.OPTION=VALUE."
        )
    others = sorted(set(given) - set(chosen))
    if others:
        raise ConfigError(
            f"--set has options of {listing(others)}, but the chosen metrics are {listing(chosen)}. Remove the options,"
            " or choose their metrics with --metrics."
        )
    options = {name: opened(given.get(name, {})) for name in chosen}
    for name, value in options.items():
        if not isinstance(value, Mapping):
            raise ConfigError(
                f"metric.{name}: expected options, got {shown(value)}. Set one with --set metric.{name}.OPTION=VALUE."
            )
    return {name: dict(value) for name, value in options.items()}


def _part(name: str, options: Mapping[str, Any]) -> Part:
    offer = registry().component("metric", name)
    component = offer.what
    path = f"metric.{name}"
    if component.config is None and options:
        raise ConfigError(f"{path}: {component.name!r} takes no options: remove {listing(options)}.")
    chosen = Chosen(component, offer.distribution, options)
    if component.config is None:
        return Part(chosen, name, None)
    return Part(chosen, name, structure(options, import_object(component.config), path, settable=True))


def _refuse_without_configuration(part: Part) -> None:
    """Raise ConfigError if the constructor of a metric requires parts of a configuration."""
    parameters = inspect.signature(import_object(part.chosen.component.target)).parameters.values()
    required = {each.name for each in parameters if each.kind is each.KEYWORD_ONLY and each.default is each.empty}
    if missing := sorted(required & {*known_words()} - {"wanted"}):
        raise ConfigError(
            f"{part.name} needs the {' and the '.join(missing)} of a configuration: add --config with a YAML file"
            " or the name of a recipe."
        )


def _refuse_labels(requests: Batch, classes: Mapping[str, int | None]) -> None:
    """Raise DataError for a label outside a metric's classes, which would silently count as a wrong image.

    Args:
        requests: The labels.
        classes: Number of classes of each metric; None if unknown.
    """
    if requests.labels is None:
        return
    for name, count in classes.items():
        if count is None:
            continue
        outside = (requests.labels >= count).nonzero()[:, 0].tolist()
        if outside:
            value = int(requests.labels[outside[0]])
            hint = from_one(requests.labels.tolist(), count)
            raise DataError(f"{wrong(value, count, f'image {outside[0]}')} The metric {name!r} reads it.{hint}")


def _refuse_missing(part: Part, requests: Batch) -> None:
    """Raise NanoGenError if a metric needs labels or captions and the images have none."""
    component = part.chosen.component
    present = {"labels": requests.labels is not None, "captions": requests.captions is not None}
    missing = [word for word in component.needs.get("task", ()) if not present.get(word, True)]
    own = getattr(import_object(component.target), "eval_batch", None)
    if missing and own is None:
        file = {
            "labels": "labels.csv with the columns file,label to their folder, or the array arr_1 to their .npz file",
            "captions": "prompts.csv with the columns file,prompt to their folder",
        }[missing[0]]
        raise NanoGenError(f"The metric {part.name!r} needs {missing[0]}, but these images have none. Add {file}.")
