"""Check that every parameter that requires a gradient has an optimizer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from torch import nn

from nanogen_core.errors import TrainingError

MODULE_ATTRIBUTES = frozenset(vars(nn.Module()))  # where a module keeps its parameters and submodules


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
                + (". Hold modules in an nn.ModuleList or nn.ModuleDict" if "[" in names[0] else "")
                + f". Call requires_grad_(False) on what stays fixed, or choose a stage that trains the {part}."
            )


def _parameters(part: Any) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield parameters with `requires_grad` by name: those of modules, and of lists, tuples and mappings of modules."""
    seen: set[int] = set()
    pending = [("", part)] if isinstance(part, nn.Module) else [*_held(part)]
    while pending:
        name, value = pending.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, nn.Module):
            prefix = name and f"{name}."
            pending += [(prefix + child, item) for child, item in (*value.named_children(), *_held(value))]
            pending += [(prefix + child, item) for child, item in value.named_parameters(recurse=False)]
        elif value.requires_grad:
            yield name, value


def _held(holder: Any) -> Iterator[tuple[str, nn.Module | nn.Parameter]]:
    """Yield the modules and parameters among an object's attributes, and in its lists, tuples and mappings."""
    for name, value in getattr(holder, "__dict__", {}).items():
        if isinstance(holder, nn.Module) and name in MODULE_ATTRIBUTES:
            continue
        items: Iterable[tuple[str, Any]] = [(name, value)]
        if isinstance(value, (list, tuple)):
            items = ((f"{name}[{index}]", item) for index, item in enumerate(value))
        elif isinstance(value, Mapping):
            items = ((f"{name}[{key!r}]", item) for key, item in value.items())
        yield from ((path, item) for path, item in items if isinstance(item, (nn.Module, nn.Parameter)))
