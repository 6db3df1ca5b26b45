"""Public API of nanogen-core: build image generators from configurations, sample from them, save and load them.

Public names are imported on first access, so importing the package takes milliseconds.
"""

from typing import TYPE_CHECKING

from nanogen_files.exports import lazy_exports

if TYPE_CHECKING:
    from nanogen_core.config import Resolved, load_config, resolve
    from nanogen_core.errors import ConfigError, DataError, NanoGenError
    from nanogen_core.guidance import ClassifierFree
    from nanogen_core.hookspecs import hookimpl
    from nanogen_core.pipeline import Pipeline, build_pipeline
    from nanogen_core.protocols import Backbone, Conditioner, Dataset, Guidance, Objective, Sampler, Task, Tokenizer
    from nanogen_core.randomness import KeyedRNG
    from nanogen_core.registry import register
    from nanogen_core.sampling import Euler, Heun, network_inputs, velocity_field
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
    "network_inputs",
    "register",
    "resolve",
    "velocity_field",
]

_MODULES = {
    "config": "Resolved load_config resolve",
    "errors": "ConfigError DataError NanoGenError",
    "guidance": "ClassifierFree",
    "hookspecs": "hookimpl",
    "pipeline": "Pipeline build_pipeline",
    "protocols": "Backbone Conditioner Dataset Guidance Objective Sampler Task Tokenizer",
    "randomness": "KeyedRNG",
    "registry": "register",
    "sampling": "Euler Heun network_inputs velocity_field",
    "settings": "ClassifierFreeConfig SamplerConfig",
    "specs": "Component ConditionSpec Kind LatentSpec Method",
    "tensors": "Batch Condition Losses Prediction State Times",
}

__getattr__, __dir__ = lazy_exports(
    __name__, {name: module for module, names in _MODULES.items() for name in names.split()}
)
