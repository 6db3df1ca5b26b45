"""Card of one model: its scores on both tasks, as JSON and as Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nanogen_bench.collected.entries import Entry
from nanogen_bench.collected.models import Mean, models
from nanogen_core.errors import DataError, listing
from nanogen_files.config_diff import differences
from nanogen_files.structure import plain

FORMAT = 1
TABLE = "| score | value | standard deviation | interval | n | fingerprint |\n|---|---|---|---|---|---|"


def card(entries: Sequence[Entry]) -> dict[str, Any]:
    """Return the card as JSON values. Raises DataError if the runs are of several models."""
    found = models(entries)
    if len(found) != 1:
        names = listing(model.name for model in found)
        raise DataError(
            f"A card describes one model, but these runs belong to {names}. Give each run as NAME=FOLDER, with"
            " the same NAME."
        )
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
    own = [run for run in runs if run.task == task]
    return {
        "seeds": [run.seed for run in own],
        "train": own[0].config["train"],
        "differing": sorted({line.key for run in own[1:] for line in differences(own[0].config, run.config)}),
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
    """Return the card as Markdown."""
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
    yield (
        "\n↑: higher is better; ↓: lower is better. Intervals are bootstrap intervals over images or prompts, of the"
        " first seed."
    )
    yield from (f"\nNote: {_plain(note)}." for note in card["notes"])


def _row(score: Mapping[str, Any]) -> str:
    arrow = "↑" if score["higher_is_better"] else "↓"
    runs = score["runs"]
    spread = f"{_digits(score['sd'])} over {len(runs)} seeds" if score["sd"] is not None else "one seed"
    first = runs[0]["interval"]
    interval = f"{_digits(first['low'])} to {_digits(first['high'])} ({first['level']:.0%})" if first else "none"
    n = "/".join(map(str, score["n"]))
    cells = (f"{_plain(score['metric'])} {arrow}", _digits(score["value"]), spread, interval, n, score["fingerprint"])
    return f"| {' | '.join(cells)} |"


def _digits(value: float) -> str:
    """Format a number with four significant digits, or with all digits before the point."""
    places = 4 if value == 0 else max(0, 3 - math.floor(math.log10(abs(value))))
    return f"{value:.{places}f}"


def _plain(text: Any) -> str:
    """Escape Markdown."""
    return "".join(f"\\{c}" if c in r"\`*_{}[]<>#|!" else c for c in " ".join(str(text).split()))
