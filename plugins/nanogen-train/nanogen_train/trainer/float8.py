"""float8 matrix products in the linear layers of blocks, through torchao."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from nanogen_core.errors import ConfigError
from nanogen_train.distributed.blocks import blocks_of

CAPABILITY = (8, 9)  # the first NVIDIA GPUs with float8 units: Ada (8.9), Hopper (9.0)
MULTIPLE = 16  # float8 units multiply matrices whose sides are multiples of 16
EMULATED = False  # True: compute in bf16 what the units would compute, for tests on a CPU
NEEDS_TORCHAO = "train.float8 needs torchao: `pip install nanogen-train[float8]`."
NEEDS_BF16 = "train.float8 needs bf16, but this run would compute in {}. Set train.precision to bf16."
NEEDS_UNITS = (
    "train.float8 needs an NVIDIA GPU with float8 units (Ada, Hopper or newer), and this device has none: set"
    " train.float8 to none."
)
NO_LAYERS = (
    "train.float8: no linear layer inside a block of the trained networks has an input and output width that are"
    " multiples of 16. Set train.float8 to none."
)


def check(precision: str, device: torch.device) -> None:
    """Raise `ConfigError` unless a run of this precision can use float8 on this device."""
    if precision != "bf16":
        raise ConfigError(NEEDS_BF16.format(precision))
    has_units = device.type == "cuda" and torch.cuda.get_device_capability(device) >= CAPABILITY
    if not has_units and not EMULATED:
        raise ConfigError(NEEDS_UNITS)


def apply_float8(nets: Iterable[nn.Module], recipe: str) -> None:
    """Replace the linear layers inside the blocks of networks by torchao's `Float8Linear`, which shares their weights.

    Weights, gradients and optimizer states keep their dtype, and parameters keep their names. Layers are replaced only
    if they are inside a block and both of their widths are multiples of 16.

    Args:
        nets: Networks to change in place.
        recipe: Recipe of torchao: "tensorwise", "rowwise" or "rowwise_with_gw_hp".

    Raises:
        ConfigError: torchao is not installed, or no layer can be replaced.
    """
    if not sum(_convert(block, recipe) for net in nets for block in blocks_of(net)):
        raise ConfigError(NO_LAYERS)


def _convert(block: nn.Module, recipe: str) -> int:
    try:
        from torchao.float8 import Float8LinearConfig, convert_to_float8_training
    except ImportError as error:
        raise ConfigError(NEEDS_TORCHAO) from error
    before = {name: layer for name, layer in block.named_modules() if _fits(layer)}
    # padding: products with the number of samples as inner side, which need not be a multiple of 16
    config = replace(Float8LinearConfig.from_recipe_name(recipe), pad_inner_dim=True, emulate=EMULATED)
    convert_to_float8_training(block, config=config, module_filter_fn=lambda layer, name: name in before)
    for name, layer in before.items():
        _copy_attributes(layer, block.get_submodule(name))
    return len(before)


def _fits(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Linear) and not (layer.in_features % MULTIPLE or layer.out_features % MULTIPLE)


def _copy_attributes(source: nn.Module, target: nn.Module) -> None:
    """Copy what a layer declares besides its parameters, such as `fused_rows`."""
    declared: dict[str, Any] = {key: value for key, value in vars(source).items() if key not in vars(target)}
    vars(target).update(declared)
