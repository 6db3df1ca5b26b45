"""Functions for networks with an adapter. Imports neither peft nor torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn


def has_adapter(config: Mapping[str, Any]) -> bool:
    """Return whether a configuration trains an adapter."""
    train = config.get("train")
    return isinstance(train, Mapping) and train.get("adapter") is not None


def base_parameters(net: nn.Module) -> Iterator[nn.Parameter]:
    """Yield the frozen parameters of a network with an adapter. Yields nothing for other networks."""
    if hasattr(net, "peft_config"):
        yield from (parameter for parameter in net.parameters() if not parameter.requires_grad)
