"""Format quantities with a fitting unit and at least three significant digits."""

from __future__ import annotations

from collections.abc import Mapping

_PREFIXES = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}
FLOPS = {f"{prefix}FLOPs": size for prefix, size in _PREFIXES.items()}
BYTES = {"bytes": 1.0, "KiB": 1024.0, "MiB": 1024.0**2, "GiB": 1024.0**3}
SECONDS = {"µs": 1e-6, "ms": 1e-3, "s": 1.0}
GPU_HOURS = {"GPU seconds": 1 / 3600, "GPU minutes": 1 / 60, "GPU hours": 1.0}
DAYS = {"s": 1 / 86_400, "min": 1 / 1440, "hours": 1 / 24, "days": 1.0}


def quantity(value: float, units: Mapping[str, float]) -> str:
    """Write a value in the largest unit in which it is at least 0.1, such as `"0.997 TFLOPs"` or `"13.70 GiB"`.

    Args:
        value: The value, 0 or more.
        units: Size of each unit by name, in the unit of the value, from small to large.
    """
    name = next((name for name, size in reversed(list(units.items())) if value >= 0.1 * size), next(iter(units)))
    number = value / units[name]
    decimals = 3 if number < 10 else 2 if number < 100 else 1
    return f"{number:,.{decimals}f} {name}"
