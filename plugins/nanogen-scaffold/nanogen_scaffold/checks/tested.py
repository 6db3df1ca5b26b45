"""A component or method under test, in a configuration of small parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import frozen

from nanogen_core.assembly import Assembly
from nanogen_core.config import Resolved
from nanogen_core.errors import DataError, Incompatible
from nanogen_core.kinds import group_arguments, groups, slots
from nanogen_core.pipeline import Pipeline, build_pipeline
from nanogen_core.registry import Offer, registry
from nanogen_core.specs import Component, Method
from nanogen_scaffold.checks.report import FAILED, LEFT_OUT, State
from nanogen_scaffold.small import TASKS, small_resolved


@frozen
class Tested:
    """One component or method.

    Args:
        offer: The component or method, and its distribution.
        settings: Configuration of the user, which overrides the small parts.
    """

    offer: Offer[Component] | Offer[Method]
    settings: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """Kind of the component, or "method"."""
        return self.offer.what.kind if isinstance(self.offer.what, Component) else "method"

    @property
    def provides(self) -> frozenset[str]:
        """What the component provides for others, such as "features" (`Component.provides`). Empty for a method."""
        return self.offer.what.provides if isinstance(self.offer.what, Component) else frozenset()

    @property
    def title(self) -> str:
        """Name for messages, such as "objective my-objective"."""
        return f"{self.kind} {self.offer.what.name}"

    @property
    def name(self) -> str:
        """Name in a configuration: `distribution:name` if several distributions offer the name."""
        known = registry()
        offers: Mapping[str, Sequence[Any]] = (
            known.methods if self.kind == "method" else known.components.get(self.kind, {})
        )
        return self.offer.what.name if len(offers[self.offer.what.name]) == 1 else self.offer.full_name

    @property
    def selectable(self) -> bool:
        """Whether configurations have a key for the component's kind. If not, options of other components select it."""
        return self.kind == "method" or self.kind in (*slots(), *groups())

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks to test it on."""
        return (self.name,) if self.kind == "task" else tuple(TASKS)

    def resolved(self, task: str, **more: Any) -> Resolved:
        """Return the configuration of small parts with the component, overridden by `settings`, then by `more`.

        Raises NanoGenError if the parts cannot be combined.
        """
        return small_resolved(task, self._selection(), self.settings, more)

    def part(self, resolved: Resolved, **known: Any) -> Any:
        """Build the component, with the parts `known` instead of the configured ones."""
        assembly = Assembly(resolved, known)
        if self.kind in slots():
            return assembly[self.kind]
        return assembly[group_arguments()[self.kind]][self.name]

    def pipeline(self, task: str) -> Pipeline:
        """Build a pipeline of small parts with the component."""
        return build_pipeline(self.resolved(task))

    def _selection(self) -> dict[str, Any]:
        if self.kind == "method":
            # the defaults of a method may be networks of billions of parameters, or need weights
            return {"method": self.name, "tokenizer": "tiny-tokenizer", "backbone": "tiny-backbone"}
        chosen: dict[str, Any] = {self.kind: {"name": self.name} if self.kind in slots() else {self.name: {}}}
        if self.kind == "task":
            chosen["conditioner"] = "tiny-labels" if "labels" in self.provides else "tiny-texts"
        return chosen


def explained(error: BaseException) -> tuple[State, str]:
    """Return the state and the reason of a check that raised an exception.

    A check is left out if the small parts do not fit the component, or if data is missing or unsuitable.
    """
    if isinstance(error, Incompatible):
        return LEFT_OUT, f"{error} Choose other parts with --set."
    if isinstance(error, DataError):
        return LEFT_OUT, str(error)
    kind = type(error)
    text = str(error) or "no message"
    return FAILED, text if kind.__module__.startswith("nanogen") else f"{kind.__name__}: {text}"


def unmet_needs(component: Component) -> Iterator[str]:
    """Yield a sentence for each need of `component` that no installed component meets."""
    known = registry()
    for kind, words in component.needs.items():
        if kind not in known.kinds:
            yield f"{component.name!r} needs the kind {kind!r}, which no installed distribution declares."
        elif not known.providing(kind, words):
            needed = f"a component of the kind {kind!r} that provides {' and '.join(sorted(words))}"
            yield f"{component.name!r} needs {needed}: none is installed."
