"""Functions that accept sharded tensors (DTensor) and plain tensors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor


def full(tensor: Tensor) -> Tensor:
    """Return the full tensor on every process. A collective call for sharded tensors."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def full_on_cpu(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the full tensors on the CPU. Gathers sharded tensors one at a time, to limit device memory."""
    return {name: full(tensor.detach()).cpu() for name, tensor in tensors.items()}


def shard_like(tensor: Tensor, template: Tensor | None) -> Tensor:
    """Shard a tensor like a sharded template of the same shape. Otherwise, return it unchanged.

    Every process must hold the full tensor.
    """
    if isinstance(template, DTensor) and template.shape == tensor.shape:
        device = tensor.to(template.device)
        return distribute_tensor(device, template.device_mesh, template.placements, src_data_rank=None)
    return tensor


def empty_like(shape: torch.Size, dtype: torch.dtype, template: Tensor | None) -> Tensor:
    """Return an uninitialised tensor.

    It has the device and sharding of `template` if the shapes match. Otherwise it is unsharded, on the default device.
    """
    if template is not None and template.shape == shape:
        return torch.empty_like(template, dtype=dtype, requires_grad=False)
    return torch.empty(shape, dtype=dtype)


def local_shards(tensors: Iterable[Tensor]) -> list[Tensor]:
    """Return this process's shard of each tensor, for elementwise operations."""
    return [tensor.to_local() if isinstance(tensor, DTensor) else tensor for tensor in tensors]
