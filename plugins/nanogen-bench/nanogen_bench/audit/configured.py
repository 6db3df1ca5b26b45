"""What the two configurations say: compared exactly, line by line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nanogen_bench.audit.lines import DIFFERS, EQUAL, EXPECTED, Line
from nanogen_core.config_diff import ABSENT, Difference, flat

#: What an audit names -> the configuration lines that it is made of, by their beginnings.
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
OF_THE_TASK = ("task", "conditioner.", "encoder.", "dataset.")  # may differ where the tasks do
NO_TRAINING = (  # touches what is drawn, judged or written down
    "seed",
    "sampler.",
    "guidance.",
    "metric.",
    "train.log_every",
    "train.sample_",
    "train.checkpoint_every",
    "train.keep_last",
    "train.num_workers",
    "train.cache_latents",
    "train.precomputed_latents",
    "train.compile",
    "train.trackers",
)
EXACT = "every line the same"
BY_TASK = "may differ, since the tasks do"
BESIDE = "no part of the regime"


def lines(
    first: Mapping[str, Any], second: Mapping[str, Any], differing: Sequence[Difference], other_task: bool
) -> list[Line]:
    """A line for each name above, for the rest of what is trained by, and for what is not trained by."""
    values = dict(flat(first)), dict(flat(second))
    keys = list(dict.fromkeys(key for side in values for key in side))
    taken: set[str] = set()
    found = []
    for name, beginnings in NAMED.items():
        mine = [key for key in keys if key.startswith(beginnings) and key not in taken]
        taken.update(mine)
        found += [_line(name, mine, values, differing, other_task)] if mine else []
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
    wrong = [key for key in changed if not _excused(key, values, other_task)]
    verdict = DIFFERS if wrong else EXPECTED if changed else EQUAL
    shown = wrong or changed or (list(keys) if len(keys) == 1 else [])
    rule = EXACT if wrong or not changed else BESIDE if changed[0].startswith(NO_TRAINING) else BY_TASK
    a, b = (_shown(shown, side, len(keys)) for side in values)
    return Line(group="configuration", name=name, first=a, second=b, verdict=verdict, rule=rule)


def _excused(key: str, values: tuple[Mapping[str, Any], Mapping[str, Any]], other_task: bool) -> bool:
    """Whether a line may differ. Options of one and the same dataset may not: both tasks read it."""
    if key.startswith(NO_TRAINING):
        return True
    same_data = values[0].get("dataset.name") == values[1].get("dataset.name")
    return other_task and key.startswith(OF_THE_TASK) and not (key.startswith("dataset.") and same_data)


def _shown(keys: Sequence[str], values: Mapping[str, Any], count: int) -> Any:
    if not keys:
        return f"{count} options"
    if len(keys) == 1:
        return values.get(keys[0], ABSENT)
    return {key: values.get(key, ABSENT) for key in keys}
