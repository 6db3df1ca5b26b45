"""Tensors that are shared out over processes (torch's DTensor), and those that are not, handled alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor


def whole(tensor: Tensor) -> Tensor:
    """The whole tensor, on every process: a collective call where it is shared out."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def whole_on_cpu(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The whole tensors on the CPU, one after the other, so that the device never holds two of them."""
    return {name: whole(tensor.detach()).cpu() for name, tensor in tensors.items()}


def placed(tensor: Tensor, like: Tensor | None) -> Tensor:
    """A whole tensor, which every process has, shared out as `like` is, if it has the same shape."""
    if isinstance(like, DTensor) and like.shape == tensor.shape:
        device = tensor.to(like.device)
        return distribute_tensor(device, like.device_mesh, like.placements, src_data_rank=None)
    return tensor


def empty(shape: torch.Size, dtype: torch.dtype, like: Tensor | None) -> Tensor:
    """A tensor to be filled, shared out as `like` is, if it has the same shape."""
    if like is not None and like.shape == shape:
        return torch.empty_like(like, dtype=dtype, requires_grad=False)
    return torch.empty(shape, dtype=dtype)


def local(tensors: Iterable[Tensor]) -> list[Tensor]:
    """What this process has of each tensor: enough for arithmetic number by number, and quicker."""
    return [tensor.to_local() if isinstance(tensor, DTensor) else tensor for tensor in tensors]
