"""Scores with their settings, and fingerprints that tell whether two scores are comparable."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from attrs import field, frozen

from nanogen_core.errors import NanoGenError

DIGITS = 16  # hexadecimal digits of a fingerprint (64 bits)


@frozen(kw_only=True)
class Interval:
    """Bootstrap confidence interval of a score."""

    low: float
    high: float
    level: float  # confidence level, such as 0.95
    method: str  # "BCa", "percentile" or "centred percentile", see `nanogen_eval.intervals`
    units: int  # number of units that were resampled
    draws: int  # number of bootstrap draws with a finite value


@frozen(kw_only=True)
class Score:
    """One score, as stored in `scores.json`.

    Attributes:
        metric: Name of the score.
        value: Mean of `values`.
        higher_is_better: Whether a higher value is better.
        n: Number of images per seed.
        component: Name of the metric component. A component may compute several scores.
        values: Value for each seed; one value for existing images.
        seeds: Sampling seeds; empty for existing images.
        interval: Bootstrap interval; None if it was not computed.
        settings: JSON values that the score depends on. They enter the fingerprint.
        about: JSON values that identify the evaluated model or images. They do not enter the fingerprint.
    """

    metric: str
    value: float
    higher_is_better: bool
    n: int
    component: str
    values: tuple[float, ...]
    seeds: tuple[int, ...] = ()
    interval: Interval | None = None
    settings: Mapping[str, Any] = field(factory=dict)
    about: Mapping[str, Any] = field(factory=dict)

    @property
    def fingerprint(self) -> str:
        """Hash of `protocol`. Scores with equal fingerprints are comparable."""
        return fingerprint(self.protocol)

    @property
    def protocol(self) -> dict[str, Any]:
        """Everything that the value depends on, except the evaluated model or images."""
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
        """Sample standard deviation over the seeds; None for fewer than two."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None


def fingerprint(settings: Mapping[str, Any]) -> str:
    """Return 16 hexadecimal digits of the SHA-256 of the settings' canonical JSON text."""
    return sha256(canonical(settings).encode()).hexdigest()[:DIGITS]


def canonical(settings: Mapping[str, Any]) -> str:
    """Return the canonical JSON text of settings: sorted keys, tuples as lists, 2.0 as 2.

    Raises:
        NanoGenError: A value has no JSON form, or a number is not finite. The message names its path.
    """
    return json.dumps(plain(settings), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def plain(value: Any, path: str = "settings") -> Any:
    """Convert a value to JSON types. Raises NanoGenError, naming `path`, if it has no JSON form."""
    if isinstance(value, Mapping):
        return {_key(key, path): plain(item, f"{path}.{key}") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item, f"{path}[{place}]") for place, item in enumerate(value)]
    if isinstance(value, float) and value - value == 0:  # neither NaN nor infinite
        return int(value) if value.is_integer() else value
    if value is None or isinstance(value, (str, bool, int)):
        return value
    raise NanoGenError(
        f"{path} is {value!r}, which cannot be stored with a score: use strings, finite numbers, lists and mappings."
    )


def _key(key: Any, path: str) -> str:
    if not isinstance(key, str):
        raise NanoGenError(f"{path} has the key {key!r}, which cannot be stored with a score: use strings as keys.")
    return key
