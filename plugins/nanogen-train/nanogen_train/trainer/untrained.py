"""Check that every parameter that requires a gradient has an optimizer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from torch import nn

from nanogen_core.errors import TrainingError
from nanogen_core.eval_mode import modules_of


def refuse_untrained(parts: Mapping[str, Any], trained: Iterable[nn.Parameter]) -> None:
    """Raise TrainingError if a parameter with `requires_grad` has no optimizer.

    Args:
        parts: The components of the pipeline, by kind.
        trained: The parameters of all optimizers.
    """
    trained_ids = {id(parameter) for parameter in trained}
    for part, value in parts.items():
        names = [name for name, parameter in _parameters(value) if id(parameter) not in trained_ids]
        if names:
            raise TrainingError(
                f"No optimizer trains the {part}'s parameter {names[0]!r}"
                + (f" and {len(names) - 1} more" if len(names) > 1 else "")
                + f". Call requires_grad_(False) on what stays fixed, or choose a stage that trains the {part}."
            )


def _parameters(part: Any) -> Iterator[tuple[str, nn.Parameter]]:
    for module in modules_of(part):
        yield from ((name, parameter) for name, parameter in module.named_parameters() if parameter.requires_grad)
