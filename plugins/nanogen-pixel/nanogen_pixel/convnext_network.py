"""Pooled features of a frozen ConvNeXt of transformers."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nanogen_core.errors import DataError, NanoGenError
from nanogen_files import hub
from nanogen_files.errors import cause

MODEL_TYPES = ("convnext", "convnextv2")
EPS = 1e-6  # of the final LayerNorm, as in the authors' code; transformers uses 1e-12


class PooledFeatures(nn.Module):
    """Frozen network that averages its last feature map over positions and applies the final LayerNorm.

    Gradients reach the images.

    Args:
        network: A ConvNeXt model of transformers.
    """

    def __init__(self, network: Any):
        super().__init__()
        self.network = network.eval().requires_grad_(False)

    @classmethod
    def load(cls, path: str) -> PooledFeatures:
        """Load a model from a local folder or the Hugging Face hub.

        Raises:
            DataError: The model cannot be read, is not a ConvNeXt, or lacks weights.
            NanoGenError: The package transformers is not installed.
        """
        folder = Path(path).expanduser()
        local = folder.is_dir()
        source = str(folder) if local else path
        transformers = _transformers()
        try:
            offline = local or not hub.can_download(source)
            with torch.random.fork_rng(devices=[]):  # building the model draws random numbers
                network, report = transformers.AutoModel.from_pretrained(
                    source,
                    use_safetensors=True,
                    output_loading_info=True,
                    local_files_only=offline,
                )
        except Exception as error:  # the hub, its cache, the network and file readers raise many types
            raise DataError(_missing(source, local, error)) from error
        if network.config.model_type not in MODEL_TYPES:
            raise DataError(
                f"The model {source} is a {network.config.model_type}, not a ConvNeXt. Set `auxiliary.convnext.path`"
                " to a ConvNeXt or ConvNeXt-V2."
            )
        if report["missing_keys"]:
            raise DataError(
                f"The ConvNeXt {source} is incomplete: weights such as {min(report['missing_keys'])} are missing."
                " Save or download it again."
            )
        return cls(network)

    def forward(self, images: Tensor) -> Tensor:
        """Map images [B, 3, H, W] to features [B, D], float32."""
        maps = self.network(images).last_hidden_state  # [B, D, h, w]
        norm = self.network.layernorm
        return F.layer_norm(maps.float().mean(dim=(2, 3)), norm.normalized_shape, norm.weight, norm.bias, EPS)


def _transformers() -> Any:
    try:
        return import_module("transformers")  # not at the top: the import takes seconds
    except ImportError as error:
        raise NanoGenError(
            "The auxiliary loss 'convnext' needs transformers. Run `pip install nanogen-pixel[convnext]`."
        ) from error


def _missing(source: str, local: bool, error: Exception) -> str:
    files = "config.json and model.safetensors of a ConvNeXt of transformers"
    if local:
        return f"The ConvNeXt in {source} cannot be read ({cause(error)}). Put {files} into the folder."
    return hub.missing(
        "The ConvNeXt",
        source,
        f"Put {files} into a folder and set `auxiliary.convnext.path` to it, name a model of the hub and connect to the"
        " network once, or train without the loss (`auxiliary: {convnext: null}`).",
        error,
    )
