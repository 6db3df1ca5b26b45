"""Adapter layers of peft in a backbone: configuration and injection. Imports peft only when an adapter is used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from torch import nn

from nanogen_core.errors import ConfigError, listing, near_miss
from nanogen_train.distributed.blocks import blocks_of

TARGETS = "target_modules"


def peft_config(backbone: nn.Module, options: Mapping[str, Any]) -> Any:
    """Return peft's configuration for `train.adapter`. By default it adapts the linear layers of the blocks.

    Args:
        backbone: The network to adapt.
        options: The adapter's `type`, and options of peft's configuration class for this type.

    Raises:
        ConfigError: peft is not installed, lacks the type or rejects an option, or dropout is not 0.
    """
    given = dict(options)
    kind = given.pop("type")
    cls = _config_class(kind)
    known = {field.name for field in fields(cls) if field.init and field.name != "peft_type"}
    for name in given:
        if name not in known:
            raise ConfigError(
                f"train.adapter.{name}: is not an option of peft's {cls.__name__}.{near_miss(name, known)}"
                " Remove it, or use a field of this class."
            )
    dropout = next((name for name, value in given.items() if "dropout" in name and value), None)
    if dropout is not None:
        raise ConfigError(
            f"train.adapter.{dropout}: dropout draws from the global random generator, so results would depend on the"
            " number of processes. Set it to 0."
        )
    if TARGETS in known and given.get(TARGETS) is None:
        given[TARGETS] = linear_layers(backbone)
    try:
        return cls(**given)
    except (TypeError, ValueError) as error:
        reason = str(error).rstrip(".")
        advice = f"Correct them as peft documents {cls.__name__}."
        raise ConfigError(f"train.adapter: peft rejects the options: {reason}. {advice}") from error


def inject(backbone: nn.Module, options: Mapping[str, Any]) -> Any:
    """Add adapter layers to a backbone, in place. Returns peft's configuration.

    Afterwards, only these layers and the modules that options such as `modules_to_save` select require gradients.

    Raises:
        ConfigError: peft is not installed or rejects the options, or the backbone has no layer to adapt.
    """
    config = peft_config(backbone, options)
    from peft import inject_adapter_in_model

    try:
        inject_adapter_in_model(config, backbone)
    except (ValueError, TypeError, AttributeError, NotImplementedError) as error:
        reason = str(error).rstrip(".")
        raise ConfigError(
            f"train.adapter: peft cannot add {options['type']!r} to the backbone: {reason}. Choose other"
            f" `{TARGETS}`, or another `type`."
        ) from error
    return config


def linear_layers(backbone: nn.Module) -> list[str]:
    """Return the names of the linear layers in the blocks of a network; in the whole network if it has no blocks."""
    inside = {id(module) for block in blocks_of(backbone) or [backbone] for module in block.modules()}
    return [name for name, m in backbone.named_modules() if isinstance(m, nn.Linear) and id(m) in inside]


def _config_class(kind: str) -> Any:
    try:
        from peft import PeftType
        from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING, PEFT_TYPE_TO_TUNER_MAPPING
    except ImportError as error:
        raise ConfigError("train.adapter needs peft: `pip install nanogen-train[peft]`.") from error
    types = {each.value.lower(): each for each in PeftType}
    if kind.lower() not in types:
        raise ConfigError(
            f"train.adapter.type: peft has no type {kind!r}.{near_miss(kind, types)} Types: {listing(sorted(types))}."
        )
    peft_type = types[kind.lower()]
    if hasattr(PEFT_TYPE_TO_TUNER_MAPPING.get(peft_type), "update_and_allocate"):
        raise ConfigError(
            f"train.adapter.type: {kind!r} changes the adapter's ranks during training, by a method"
            " (`update_and_allocate`) that the training loop does not call. Choose another type."
        )
    return PEFT_TYPE_TO_CONFIG_MAPPING[peft_type]
