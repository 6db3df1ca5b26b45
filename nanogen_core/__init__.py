"""NanoGen: any generative method, on class-conditional ImageNet and on text-to-image, one line apart.

The public names are loaded when they are first used, so that importing the package costs milliseconds.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nanogen_core.config import Resolved, load_config, resolve
    from nanogen_core.errors import NanoGenError
    from nanogen_core.hookspecs import hookimpl
    from nanogen_core.pipeline import Pipeline, build_pipeline
    from nanogen_core.specs import Component, ConditionSpec, LatentSpec, Method

_HOMES = {
    "Component": "specs",
    "ConditionSpec": "specs",
    "LatentSpec": "specs",
    "Method": "specs",
    "NanoGenError": "errors",
    "Pipeline": "pipeline",
    "Resolved": "config",
    "build_pipeline": "pipeline",
    "hookimpl": "hookspecs",
    "load_config": "config",
    "resolve": "config",
}

__all__ = [
    "Component",
    "ConditionSpec",
    "LatentSpec",
    "Method",
    "NanoGenError",
    "Pipeline",
    "Resolved",
    "build_pipeline",
    "hookimpl",
    "load_config",
    "resolve",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
