"""The statistics come from packages that only this needs: a missing one is named."""

from __future__ import annotations

from importlib.util import find_spec

from nanogen_core.errors import NanoGenError


class MissingPackage(NanoGenError):
    """A package of the extra `bench` is not installed."""


def need_statistics() -> None:
    """Raises MissingPackage where SciPy or statsmodels is not installed."""
    missing = [name for name in ("scipy", "statsmodels") if find_spec(name) is None]
    if missing:
        are = "is" if len(missing) == 1 else "are"
        raise MissingPackage(
            f"Correlations need {' and '.join(missing)}, which {are} not installed: pip install 'nanogen-core[bench]'."
        )
