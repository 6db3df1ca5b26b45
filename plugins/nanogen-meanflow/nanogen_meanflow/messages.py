"""Combinations that MeanFlow does not support, and their error messages. Does not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NO_CLS_TOKEN = (
    "MeanFlow objectives do not support a class token (REG): an average velocity of the token is not defined. "
    "Remove REG from `auxiliary`, replace it by REPA, or set `objective: flow`."
)
NO_COMPILE = (
    "The objective's `derivative: exact` needs a second backward pass, which torch.compile does not support. "
    "Set `derivative: forward` (compiled except for du/dt) or `derivative: central` in `objective:`, "
    "or `train.compile: none`."
)
NO_BLOCK_SHARDS = (
    "The objective's `derivative: exact` needs a second backward pass, but FSDP frees the weights of a block after the "
    "first one. Set `train.shard_by: step`, or `derivative: forward` in `objective:`."
)
NO_FLOAT8 = (
    "The objective's `derivative: {}` differentiates the network in a way that float8 matrix products do not support. "
    "Set `derivative: central` in `objective:`, or `train.float8: none`."
)


def of_derivative(derivative: str, train: Mapping[str, Any]) -> list[str]:
    """Return an error message for each setting of `train:` that does not work with the method `derivative`."""
    exact, differentiated = derivative == "exact", derivative in ("exact", "forward")
    compiled = exact and train.get("compile", "none") != "none"
    block_shards = exact and train.get("strategy") == "fsdp" and train.get("shard_by", "block") == "block"
    float8 = differentiated and train.get("float8", "none") != "none"
    return [NO_COMPILE] * compiled + [NO_BLOCK_SHARDS] * block_shards + [NO_FLOAT8.format(derivative)] * float8
