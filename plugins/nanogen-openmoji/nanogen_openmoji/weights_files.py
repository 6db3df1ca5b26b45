"""Reads and writes the weights of this package's networks: safetensors in float16, loaded as float32."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import TypeVar

import torch
from safetensors.torch import load_file, save_file
from torch import nn

FOLDER = Path(__file__).parent / "weights"
N = TypeVar("N", bound=nn.Module)


def load(network: N, name: str, folder: Path = FOLDER) -> N:
    """Load `<folder>/<name>.safetensors` into a network. Returns it frozen and in evaluation mode."""
    tensors = load_file(folder / f"{name}.safetensors")
    network.load_state_dict({key: tensor.float() for key, tensor in tensors.items()})
    return network.eval().requires_grad_(False)


def save(network: nn.Module, name: str, folder: Path = FOLDER) -> Path:
    """Write parameters and buffers to `<folder>/<name>.safetensors` in float16. Returns the path."""
    path = folder / f"{name}.safetensors"
    save_file({key: tensor.to(torch.float16).contiguous() for key, tensor in network.state_dict().items()}, path)
    return path


def digest(name: str, folder: Path = FOLDER) -> str:
    """Return the SHA-256 of a file of weights, for the fingerprints of scores."""
    return sha256((folder / f"{name}.safetensors").read_bytes()).hexdigest()
