"""NanoGen: any generative method, on class-conditional ImageNet and on text-to-image, one line apart.

The public names are loaded when they are first used, so that importing the package costs milliseconds.
"""

from typing import TYPE_CHECKING

from nanogen_core.exports import lazy_exports

if TYPE_CHECKING:
    from nanogen_core.config import Resolved, load_config, resolve
    from nanogen_core.errors import ConfigError, DataError, NanoGenError
    from nanogen_core.guidance import ClassifierFree
    from nanogen_core.hookspecs import hookimpl
    from nanogen_core.pipeline import Pipeline, build_pipeline
    from nanogen_core.protocols import Backbone, Conditioner, Dataset, Guidance, Objective, Sampler, Task, Tokenizer
    from nanogen_core.randomness import KeyedRNG
    from nanogen_core.registry import register
    from nanogen_core.sampling import Euler, Heun
    from nanogen_core.settings import ClassifierFreeConfig, SamplerConfig
    from nanogen_core.specs import Component, ConditionSpec, Kind, LatentSpec, Method
    from nanogen_core.tensors import Batch, Condition, Losses, Prediction, State, Times

__all__ = [
    "Backbone",
    "Batch",
    "ClassifierFree",
    "ClassifierFreeConfig",
    "Component",
    "Condition",
    "ConditionSpec",
    "Conditioner",
    "ConfigError",
    "DataError",
    "Dataset",
    "Euler",
    "Guidance",
    "Heun",
    "KeyedRNG",
    "Kind",
    "LatentSpec",
    "Losses",
    "Method",
    "NanoGenError",
    "Objective",
    "Pipeline",
    "Prediction",
    "Resolved",
    "Sampler",
    "SamplerConfig",
    "State",
    "Task",
    "Times",
    "Tokenizer",
    "build_pipeline",
    "hookimpl",
    "load_config",
    "register",
    "resolve",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "Backbone": "protocols",
        "Batch": "tensors",
        "ClassifierFree": "guidance",
        "ClassifierFreeConfig": "settings",
        "Component": "specs",
        "Condition": "tensors",
        "ConditionSpec": "specs",
        "Conditioner": "protocols",
        "ConfigError": "errors",
        "DataError": "errors",
        "Dataset": "protocols",
        "KeyedRNG": "randomness",
        "Euler": "sampling",
        "Guidance": "protocols",
        "Heun": "sampling",
        "Kind": "specs",
        "LatentSpec": "specs",
        "Losses": "tensors",
        "Method": "specs",
        "NanoGenError": "errors",
        "Objective": "protocols",
        "Pipeline": "pipeline",
        "Prediction": "tensors",
        "Resolved": "config",
        "Sampler": "protocols",
        "SamplerConfig": "settings",
        "State": "tensors",
        "Task": "protocols",
        "Times": "tensors",
        "Tokenizer": "protocols",
        "build_pipeline": "pipeline",
        "register": "registry",
        "hookimpl": "hookspecs",
        "load_config": "config",
        "resolve": "config",
    },
)
