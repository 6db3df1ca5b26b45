"""The DiffusionBench entry of one model: both tasks, as plain values and as Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nanogen_bench.collected.entries import Entry
from nanogen_bench.collected.models import Mean, models
from nanogen_core.config_diff import differences
from nanogen_core.errors import DataError, listing
from nanogen_files.structure import plain

FORMAT = 1
TABLE = "| score | value | over seeds | interval of a run | n | fingerprint |\n|---|---|---|---|---|---|"


def card(entries: Sequence[Entry]) -> dict[str, Any]:
    """The entry as plain values. Raises DataError for runs of several models."""
    found = models(entries)
    if len(found) != 1:
        names = listing(model.name for model in found)
        raise DataError(f"A card is about one model, and these runs are {names}: name them alike as NAME=FOLDER.")
    model = found[0]
    tasks = dict.fromkeys(entry.task for entry in entries)
    return {
        "format": FORMAT,
        "model": model.name,
        "family": model.family,
        "tokenizer": model.tokenizer,
        "tasks": {task: _task(task, model.runs, model.means) for task in tasks},
        "notes": list(model.notes),
    }


def _task(task: str, runs: Sequence[Entry], means: Mapping[str, Mean]) -> dict[str, Any]:
    mine = [run for run in runs if run.task == task]
    train = {str(run.seed): run.config["train"] for run in mine}
    return {
        "seeds": [run.seed for run in mine],
        "train": train[str(mine[0].seed)],
        "differing": sorted({line.key for run in mine[1:] for line in differences(mine[0].config, run.config)}),
        "scores": [_score(mean) for mean in means.values() if mean.task == task],
    }


def _score(mean: Mean) -> dict[str, Any]:
    first = mean.scores[0]
    return {
        "metric": mean.metric,
        "value": mean.value,
        "sd": mean.spread,
        "higher_is_better": first.higher_is_better,
        "n": sorted({score.n for score in mean.scores}),
        "fingerprint": mean.common.fingerprint,
        "settings": mean.common.protocol,
        "runs": [
            {
                "seed": seed,
                "value": score.value,
                "interval": None if score.interval is None else plain(score.interval),
                "fingerprint": score.fingerprint,
            }
            for seed, score in zip(mean.seeds, mean.scores, strict=True)
        ],
    }


def markdown(card: Mapping[str, Any]) -> str:
    """The same for people."""
    return "\n".join(_lines(card)) + "\n"


def _lines(card: Mapping[str, Any]) -> Iterator[str]:
    yield f"# {_plain(card['model'])}"
    yield f"\nFamily {_plain(card['family'])}, tokenizer {_plain(card['tokenizer'])}."
    for task, found in card["tasks"].items():
        train = found["train"]
        yield f"\n## {_plain(task)}\n"
        seeds = ", ".join(map(str, found["seeds"]))
        yield f"{train['steps']:,} steps of {train['batch_size']} images; seeds {seeds}.\n"
        yield TABLE
        yield from (_row(score) for score in found["scores"])
    yield "\nArrows point to the better side. An interval is the bootstrap's over images or prompts, of the first seed."
    yield from (f"\nNote: {_plain(note)}." for note in card["notes"])


def _row(score: Mapping[str, Any]) -> str:
    arrow = "↑" if score["higher_is_better"] else "↓"
    runs = score["runs"]
    spread = f"sd {_digits(score['sd'])} of {len(runs)}" if score["sd"] is not None else "one run"
    known = runs[0]["interval"]
    interval = f"{_digits(known['low'])} to {_digits(known['high'])} ({known['level']:.0%})" if known else "none"
    n = "/".join(map(str, score["n"]))
    cells = (f"{_plain(score['metric'])} {arrow}", _digits(score["value"]), spread, interval, n, score["fingerprint"])
    return f"| {' | '.join(cells)} |"


def _digits(value: float) -> str:
    """Four significant digits, and no fewer before the point."""
    places = 4 if value == 0 else max(0, 3 - math.floor(math.log10(abs(value))))
    return f"{value:.{places}f}"


def _plain(text: Any) -> str:
    """Nothing that Markdown would read."""
    return "".join(f"\\{c}" if c in r"\`*_{}[]<>#|!" else c for c in " ".join(str(text).split()))
