"""A score with all that it depends on, and the fingerprint by which two scores can be compared."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from attrs import field, frozen

from nanogen_core.errors import NanoGenError

DIGITS = 16  # hexadecimal, of a fingerprint: 64 bits


@frozen(kw_only=True)
class Interval:
    """A confidence interval: `low` to `high` at the `level`, from `draws` bootstrap samples of the `units`."""

    low: float
    high: float
    level: float
    method: str  # "BCa", "percentile" or "centred percentile", see `nanogen_eval.intervals`
    units: int
    draws: int


@frozen(kw_only=True)
class Score:
    """One number of one metric, as it stands in `scores.json`.

    `value` is the mean of `values`, which has one number a seed (one number where images were given and no seed
    exists). `n` counts the images of one seed. `settings` is the protocol, plain JSON: two scores may be compared
    where their fingerprints, which are made of it, are equal. `about` says what was judged and is no part of it.
    """

    metric: str
    value: float
    higher_is_better: bool
    n: int
    component: str  # the metric component that gave it: one may give several numbers
    values: tuple[float, ...]
    seeds: tuple[int, ...] = ()
    interval: Interval | None = None
    settings: Mapping[str, Any] = field(factory=dict)
    about: Mapping[str, Any] = field(factory=dict)

    @property
    def fingerprint(self) -> str:
        """Of the metric's name, the direction, n, the seeds and the settings."""
        return fingerprint(self.protocol)

    @property
    def protocol(self) -> dict[str, Any]:
        """All that the number depends on beside what was judged."""
        return {
            "metric": self.metric,
            "component": self.component,
            "higher_is_better": self.higher_is_better,
            "n": self.n,
            "seeds": list(self.seeds),
            **self.settings,
        }

    @property
    def spread(self) -> float | None:
        """The standard deviation over the seeds (n - 1); None for fewer than two."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None


def fingerprint(settings: Mapping[str, Any]) -> str:
    """16 hexadecimal digits of the SHA-256 of the canonical JSON of the settings."""
    return sha256(canonical(settings).encode()).hexdigest()[:DIGITS]


def canonical(settings: Mapping[str, Any]) -> str:
    """One JSON text for equal settings: keys sorted, tuples as lists, 2.0 as 2.

    Raises NanoGenError, with the place, for what is no plain value, or no number.
    """
    return json.dumps(plain(settings), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def plain(value: Any, path: str = "settings") -> Any:
    """The value as JSON has it. Raises NanoGenError with its path where JSON has no such value."""
    if isinstance(value, Mapping):
        return {_key(key, path): plain(item, f"{path}.{key}") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item, f"{path}[{place}]") for place, item in enumerate(value)]
    if isinstance(value, float) and value - value == 0:  # neither NaN nor infinite
        return int(value) if value.is_integer() else value
    if value is None or isinstance(value, (str, bool, int)):
        return value
    raise NanoGenError(f"{path} is {value!r}, which a score cannot carry: use texts, numbers, lists and mappings.")


def _key(key: Any, path: str) -> str:
    if not isinstance(key, str):
        raise NanoGenError(f"{path} has the key {key!r}, which a score cannot carry: keys are texts.")
    return key
