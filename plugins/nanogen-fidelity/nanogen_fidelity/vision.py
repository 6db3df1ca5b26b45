"""The five spaces of FDr6 and MIND6 beside the FID network's: vision transformers and a ConvNeXt from timm."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from attrs import frozen
from torch import Tensor, nn

from nanogen_core.errors import DataError, NanoGenError
from nanogen_fidelity.config import VisionConfig
from nanogen_fidelity.extractor import Extractor
from nanogen_files.hashing import file_hash
from nanogen_files.images import resized
from nanogen_files.weights import read_weights

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
PUBLISHED = "model.safetensors"  # in the repositories of timm
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@frozen
class Space:
    """A model of timm, its input, and which of its numbers are the features.

    `any_size`: a transformer that takes other sizes than it was trained with; its patches are padded with zeros.
    """

    model: str
    size: int
    width: int
    normal: tuple[tuple[float, ...], tuple[float, ...]]  # mean and deviation of values in [0, 1]
    pool: Callable[[nn.Module, Tensor], Tensor]  # of what `forward_features` gives
    any_size: bool = True


def class_token(model: nn.Module, tokens: Tensor) -> Tensor:
    return tokens[:, 0]


def attention_pool(model: Any, tokens: Tensor) -> Tensor:
    pooled: Tensor = model.attn_pool(tokens)
    return pooled


def spatial_mean(model: nn.Module, maps: Tensor) -> Tensor:
    """[B, C, h, w] -> [B, C], before the norm of the head."""
    return maps.mean(dim=(2, 3))


class Vision(Extractor):
    """Features of a space's model, for bytes resized with antialiasing, neither clamped nor rounded afterwards."""

    space: Space

    def __init__(self, config: VisionConfig):
        super().__init__()
        self.config = config
        self.width = self.space.width

    @cached_property
    def settings(self) -> Mapping[str, Any]:  # type: ignore[override]
        used = {"network": self.space.model, "weights": file_hash(self.file), "size": self.space.size}
        return {**used, "resize": "bicubic antialias", "autocast": self.config.autocast}

    @cached_property
    def file(self) -> Path:
        """The file of weights: the one that is named, or the published one. Raises DataError where there is none."""
        if self.config.weights is None:
            return published(self.space.model)
        file = Path(self.config.weights).expanduser()
        if not file.is_file():
            raise DataError(
                f"{file}, which `weights` names, is no file: it must hold the weights of {self.space.model}."
            )
        return file

    def load(self) -> nn.Module:
        """Raises DataError where the weights are missing or of another model, NanoGenError where there is no timm."""
        sizes = {"dynamic_img_size": True, "dynamic_img_pad": True} if self.space.any_size else {}
        network: nn.Module = _timm().create_model(self.space.model, pretrained=False, num_classes=0, **sizes)
        fill(network, self.file)
        return network

    def forward_features(self, network: nn.Module, pixels: Tensor) -> Sequence[Tensor]:
        x = normalised(resized(pixels, self.space.size), self.space)
        half = self.config.autocast and self.space.any_size and x.device.type == "cuda"
        with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=half):
            seen = network.forward_features(x)  # type: ignore[operator]
            return [self.space.pool(network, seen)]


def published(model: str) -> Path:
    """The safetensors file that timm publishes for a model, from the Hugging Face hub or its cache.

    Raises DataError where it is not at hand, NanoGenError where there is no timm.
    """
    known = _timm().get_pretrained_cfg(model)
    try:
        from huggingface_hub import hf_hub_download

        return Path(hf_hub_download(known.hf_hub_id, PUBLISHED))
    except Exception as error:  # whatever the hub, its cache and the network between raise
        raise DataError(
            f"timm has no weights of {model} ({_reason(error)}): put them into the Hugging Face cache, or name a file"
            " of them with `weights`."
        ) from error


def fill(network: nn.Module, file: Path) -> None:
    """Loads a file as timm or the model's authors publish it. Raises DataError where it is of another model."""
    family, state = import_module(type(network).__module__), _unwrapped(read_weights(file))
    try:
        left = network.load_state_dict(family.checkpoint_filter_fn(state, network), strict=False)
    except Exception as error:  # whatever the names and shapes of another model raise
        raise DataError(f"{file} holds no weights of this model: {_reason(error)}.") from error
    foreign = [name for name in left.unexpected_keys if not name.startswith("head.")]  # classes, or a projection
    if left.missing_keys or foreign:
        raise DataError(f"{file} is of another model: {[*left.missing_keys, *foreign][0]!r} is in one of them alone.")


def _unwrapped(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Without the names that torch's wrappers put in front."""
    return {name.removeprefix("module.").removeprefix("_orig_mod."): value for name, value in state.items()}


def _reason(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__


def normalised(pixels: Tensor, space: Space) -> Tensor:
    """Float values of bytes [B, 3, H, W], less their mean and over their deviation."""
    mean, deviation = (255 * torch.tensor(values, device=pixels.device)[:, None, None] for values in space.normal)
    return (pixels - mean) / deviation


def _timm() -> Any:
    try:
        return import_module("timm")
    except (ImportError, RuntimeError) as error:
        raise NanoGenError(
            f"This space needs timm, which cannot be imported ({error}): `pip install nanogen-fidelity[timm]`, and the"
            " torchvision that belongs to the installed torch."
        ) from error


class ConvNeXt(Vision):
    """1024 numbers: the mean of the last map, without the norm of the head."""

    space = Space("convnextv2_base.fcmae_ft_in22k_in1k", 224, 1024, IMAGENET, spatial_mean, any_size=False)


class DinoV2(Vision):
    """1024 numbers: the class token. 256 pixels are padded to 266: 362 tokens."""

    space = Space("vit_large_patch14_dinov2.lvd142m", 256, 1024, IMAGENET, class_token)


class Mae(Vision):
    """1024 numbers: the class token."""

    space = Space("vit_large_patch16_224.mae", 224, 1024, IMAGENET, class_token)


class SigLip(Vision):
    """1152 numbers: what attention pools of the tokens."""

    space = Space("vit_so400m_patch16_siglip_256.v2_webli", 224, 1152, HALF, attention_pool)


class Clip(Vision):
    """1024 numbers: the class token, before any projection."""

    space = Space("vit_large_patch14_clip_224.openai", 256, 1024, CLIP, class_token)
