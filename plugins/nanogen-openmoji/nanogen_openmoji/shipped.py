"""The shipped networks' weights: safetensors in float16 beside this file, loaded as float32."""

from hashlib import sha256
from pathlib import Path
from typing import TypeVar

import torch
from safetensors.torch import load_file, save_file
from torch import nn

FOLDER = Path(__file__).parent / "weights"
N = TypeVar("N", bound=nn.Module)


def load(network: N, name: str, folder: Path = FOLDER) -> N:
    """Fill a network from `folder/name.safetensors`; returned in evaluation mode, its parameters frozen."""
    tensors = load_file(folder / f"{name}.safetensors")
    network.load_state_dict({key: tensor.float() for key, tensor in tensors.items()})
    return network.eval().requires_grad_(False)


def save(network: nn.Module, name: str, folder: Path = FOLDER) -> Path:
    """Write a network's parameters and buffers as `folder/name.safetensors` in float16; returns the path."""
    path = folder / f"{name}.safetensors"
    save_file({key: tensor.to(torch.float16).contiguous() for key, tensor in network.state_dict().items()}, path)
    return path


def digest(name: str, folder: Path = FOLDER) -> str:
    """SHA-256 of the file with a network's weights: part of the fingerprint of every score that the network gives."""
    return sha256((folder / f"{name}.safetensors").read_bytes()).hexdigest()
