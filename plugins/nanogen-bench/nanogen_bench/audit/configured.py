"""Audit of two configurations: exact comparison of their options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nanogen_bench.audit.lines import DIFFERS, EQUAL, EXPECTED, Line
from nanogen_files.config_diff import ABSENT, Difference, flat

#: Name of an audit line -> prefixes of its options.
NAMED: Mapping[str, tuple[str, ...]] = {
    "learning rate": ("optimizer.lr",),
    "optimiser": ("optimizer.",),
    "schedule": ("schedule.",),
    "batch size": ("train.batch_size",),
    "steps": ("train.steps",),
    "gradient clipping": ("train.gradient_clip",),
    "precision": ("train.precision",),
    "EMA": ("stage.ema",),
    "condition dropout": ("stage.condition_dropout",),
    "stage": ("stage.",),
    "tokenizer": ("tokenizer.", "image_size"),
    "backbone": ("backbone.",),
    "objective": ("objective.", "method"),
    "auxiliary losses": ("auxiliary.",),
    "augmentation": ("task.",),
    "data": ("dataset.",),
    "conditioning": ("conditioner.", "encoder."),
}
TASK_OPTIONS = ("task", "conditioner.", "encoder.", "dataset.")  # may differ if the tasks do
EXACT = "all options equal"
BY_TASK = "may differ, because the tasks differ"
#: Reason why options may differ between any two runs -> prefixes of these options.
ALLOWED: Mapping[str, tuple[str, ...]] = {
    "other random numbers, the same distribution": ("seed",),
    "does not affect training": (  # only sampling, evaluation, logging and storage
        "sampler.",
        "guidance.",
        "metric.",
        "train.log_every",
        "train.sample_",
        "train.checkpoint_every",
        "train.keep_",
        "train.num_workers",
        "train.trackers",
        "train.evaluate",
    ),
    "affects only rounding": ("train.compile",),
    "the same data, but perhaps other captions of an image": ("train.cache_latents", "train.precomputed_latents"),
}


def lines(
    first: Mapping[str, Any], second: Mapping[str, Any], differing: Sequence[Difference], other_task: bool
) -> list[Line]:
    """Return one line per group of options in `NAMED`, and one for all other options. Empty groups are left out.

    Args:
        first: Configuration of the first run.
        second: Configuration of the second run.
        differing: Options in which the configurations differ.
        other_task: Whether the tasks differ.
    """
    values = dict(flat(first)), dict(flat(second))
    keys = list(dict.fromkeys(key for side in values for key in side))
    taken: set[str] = set()
    found = []
    for name, prefixes in NAMED.items():
        named = [key for key in keys if key.startswith(prefixes) and key not in taken]
        taken.update(named)
        found += [_line(name, named, values, differing, other_task)] if named else []
    rest = [key for key in keys if key not in taken]
    return [*found, _line("everything else", rest, values, differing, other_task)]


def _line(
    name: str,
    keys: Sequence[str],
    values: tuple[Mapping[str, Any], Mapping[str, Any]],
    differing: Sequence[Difference],
    other_task: bool,
) -> Line:
    changed = [line.key for line in differing if line.key in keys]
    reasons = {key: _reason(key, values, other_task) for key in changed}
    wrong = [key for key, reason in reasons.items() if reason is None]
    verdict = DIFFERS if wrong else EXPECTED if changed else EQUAL
    shown = wrong or changed or (list(keys) if len(keys) == 1 else [])
    rule = EXACT if wrong or not changed else _rule(reasons)
    a, b = (_shown(shown, side, len(keys)) for side in values)
    return Line(group="configuration", name=name, first=a, second=b, verdict=verdict, rule=rule)


def _reason(key: str, values: tuple[Mapping[str, Any], Mapping[str, Any]], other_task: bool) -> str | None:
    """Return why an option may differ, or None if it must be equal. A dataset of both tasks must have equal options."""
    for reason, prefixes in ALLOWED.items():
        if key.startswith(prefixes):
            return reason
    same_data = values[0].get("dataset.name") == values[1].get("dataset.name")
    by_task = other_task and key.startswith(TASK_OPTIONS) and not (key.startswith("dataset.") and same_data)
    return BY_TASK if by_task else None


def _rule(reasons: Mapping[str, str | None]) -> str:
    """Return the reason for all options; or, if there are several, each with its options."""
    found = list(dict.fromkeys(map(str, reasons.values())))
    if len(found) == 1:
        return found[0]
    options = {reason: ", ".join(key for key, own in reasons.items() if own == reason) for reason in found}
    return "; ".join(f"{names}: {reason}" for reason, names in options.items())


def _shown(keys: Sequence[str], values: Mapping[str, Any], count: int) -> Any:
    if not keys:
        return f"{count} options"
    if len(keys) == 1:
        return values.get(keys[0], ABSENT)
    return {key: values.get(key, ABSENT) for key in keys}
