"""Manifest of the fakes. It has no entry point; tests register it."""

from __future__ import annotations

from typing import Any

from nanogen_core.hookspecs import hookimpl
from nanogen_core.specs import Component, Method

NANOGEN_API = 1
HOME = "nanogen_data.testing.fakes"
VIEWS: dict[str, Any] = {"provides": {"labels", "captions"}}


@hookimpl
def nanogen_components() -> list[Component]:
    """Return small components: task, dataset, tokenizer, backbone, objective, and two conditioners."""
    return [
        _tiny("tokenizer", "Tokenizer"),
        _tiny("backbone", "Backbone", provides={"features", "jvp", "token-times"}),
        _tiny("objective", "Flow", provides={"instantaneous-velocity"}),
        Component(
            kind="task", name="tiny-task", target=f"{HOME}:TinyTask", needs={"dataset": {"labels", "captions"}}, **VIEWS
        ),
        Component(kind="dataset", name="tiny-dataset", target=f"{HOME}:TinyDataset", **VIEWS),
        Component(kind="conditioner", name="tiny-labels", target=f"{HOME}:TinyLabels", needs={"task": {"labels"}}),
        Component(
            kind="conditioner",
            name="tiny-texts",
            target=f"{HOME}:TinyTexts",
            config=f"{HOME}:TinyTextsConfig",
            needs={"task": {"captions"}},
        ),
    ]


@hookimpl
def nanogen_methods() -> list[Method]:
    """Return the method `tiny`, which combines the fakes."""
    parts = {kind: f"tiny-{kind}" for kind in ("task", "dataset", "tokenizer", "backbone", "objective")}
    return [Method(name="tiny", defaults={**parts, "conditioner": "tiny-labels", "image_size": 16})]


def _tiny(kind: str, name: str, **words: Any) -> Component:
    target, config = f"{HOME}:Tiny{name}", f"{HOME}:Tiny{name}Config"
    return Component(kind=kind, name=f"tiny-{kind}", target=target, config=config, **words)
