"""Options of datasets that read several roots, or several captions of an image. Does not import torch."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import field, frozen

from nanogen_core.errors import DataError, shown
from nanogen_core.validators import between
from nanogen_files.reading import user_path

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_PROBABILITY = between(0, 1, above=True)
TOLERANCE = 1e-6  # of the sum of probabilities


@frozen(kw_only=True)
class Root:
    """One root of several: an entry of the option `dataset.roots`.

    Args:
        path: Where the data are, in any form that `dataset.root` accepts.
        weight: The root's share of the drawn examples is its weight divided by the sum of the weights of all roots.
    """

    path: str = field(metadata={"path": True})
    weight: float = field(default=1.0, validator=between(0, 1_000_000, above=True))


def is_url(text: str) -> bool:
    """Return whether a text begins with a scheme, such as `https://` or `s3://`."""
    return _URL.match(text) is not None


def check_roots(instance: Any, attribute: Any, value: Sequence[Root]) -> None:
    """Validator of the option `roots`: paths must be different, and `root` must not be set too."""
    if value and instance.root is not None:
        raise ValueError(f"{attribute.name}: set either root or roots, not both (root is {shown(instance.root)})")
    found: dict[str, str] = {}
    for root in value:
        key = normal(root.path)
        if key in found:
            raise ValueError(
                f"{attribute.name}: {shown(root.path)} is listed twice; list it once, with the sum of its weights"
            )
        found[key] = root.path


def check_captions(instance: Any, attribute: Any, value: Mapping[str, float]) -> None:
    """Validator of the option `captions`: probabilities in (0, 1] that sum to 1."""
    for name, probability in value.items():
        if not name.strip():
            raise ValueError(f"{attribute.name}: a caption key is empty; name it or remove it")
        _PROBABILITY.check(f"{attribute.name}: the probability of {shown(name)}", probability)
    total = math.fsum(value.values())
    if value and not abs(total - 1) <= TOLERANCE:
        raise ValueError(
            f"{attribute.name}: the probabilities must sum to 1; those of {', '.join(value)} sum to {total:.6g}. "
            "Keys of a recipe or file stay when a later file or `--set` adds others."
        )


def normal(path: str) -> str:
    """Normalise a path: `a/../b/` becomes `b`. URLs are unchanged."""
    if is_url(path):
        return path
    try:
        return os.path.normpath(user_path(path))
    except DataError as error:
        raise ValueError(str(error)) from error
