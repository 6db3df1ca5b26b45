"""A frozen ConvNeXt of transformers, of which the pooled features are used."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nanogen_core.errors import DataError, NanoGenError

KINDS = ("convnext", "convnextv2")  # model types that are known to have these features
EPS = 1e-6  # of the final LayerNorm, as in the authors' code; transformers has 1e-12 there


class PooledFeatures(nn.Module):
    """The mean of the last map over space, after the final LayerNorm. Frozen: a gradient reaches the images alone."""

    def __init__(self, network: Any):
        super().__init__()
        self.network = network.eval().requires_grad_(False)

    @classmethod
    def load(cls, path: str) -> PooledFeatures:
        """The model in a local folder, or of this name on the hub. Raises DataError, which says what is wrong."""
        folder = Path(path).expanduser()
        local = folder.is_dir()
        options = {"local_files_only": True} if local else {}
        source = str(folder) if local else path
        transformers = _transformers()
        try:
            with torch.random.fork_rng(devices=[]):  # building draws initial weights, which the files then replace
                network, report = transformers.AutoModel.from_pretrained(
                    source, use_safetensors=True, output_loading_info=True, **options
                )
        except Exception as error:  # whatever the hub, its cache, the network and readers of files raise
            raise DataError(_missing(source, local, error)) from error
        if network.config.model_type not in KINDS:
            raise DataError(f"The model {source} is a {network.config.model_type}, and this loss takes a ConvNeXt.")
        if report["missing_keys"]:
            raise DataError(f"The ConvNeXt {source} lacks weights, such as {min(report['missing_keys'])}.")
        return cls(network)

    def forward(self, images: Tensor) -> Tensor:
        """Images [B, 3, H, W] -> features [B, D] float32."""
        maps = self.network(images).last_hidden_state  # [B, D, h, w]
        norm = self.network.layernorm
        return F.layer_norm(maps.float().mean(dim=(2, 3)), norm.normalized_shape, norm.weight, norm.bias, EPS)


def _transformers() -> Any:
    try:
        return import_module("transformers")  # takes seconds, and only this loss needs it here
    except ImportError as error:
        raise NanoGenError(
            "The auxiliary loss 'convnext' needs transformers: pip install nanogen-pixel[convnext]."
        ) from error


def _missing(source: str, local: bool, error: Exception) -> str:
    what = "config.json and model.safetensors of a ConvNeXt of transformers"
    reason = str(error).partition("\n")[0] or type(error).__name__
    if local:
        return f"The ConvNeXt in {source} cannot be read ({reason}): put {what} there."
    return (
        f"The ConvNeXt {source!r} is no folder on this machine and cannot be downloaded from the Hugging Face hub: put "
        f"{what} into a folder and set `auxiliary.convnext.path` to it, or connect to the network once."
    )
