"""The timm feature spaces of FDr6 and MIND6: four vision transformers and a ConvNeXt."""

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
PUBLISHED = "model.safetensors"  # file name in timm's repositories on the hub
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@frozen
class Space:
    """A timm model and the features that are taken from it.

    Args:
        model: The name of the model in timm.
        size: Side of the input in pixels.
        width: D, the number of features.
        normal: Mean and standard deviation of each input channel, for values in [0, 1].
        pool: Function (model, output of its `forward_features`) -> features [B, D].
        any_size: Whether the model is a transformer that accepts other sizes than its training size. Inputs are
            then padded with zeros to whole patches.
    """

    model: str
    size: int
    width: int
    normal: tuple[tuple[float, ...], tuple[float, ...]]
    pool: Callable[[nn.Module, Tensor], Tensor]
    any_size: bool = True


def class_token(model: nn.Module, tokens: Tensor) -> Tensor:
    """Return the class token [B, D] of tokens [B, N, D]."""
    return tokens[:, 0]


def attention_pool(model: Any, tokens: Tensor) -> Tensor:
    """Return the model's attention pooling [B, D] of tokens [B, N, D]."""
    pooled: Tensor = model.attn_pool(tokens)
    return pooled


def spatial_mean(model: nn.Module, maps: Tensor) -> Tensor:
    """Return the spatial mean [B, D] of feature maps [B, D, h, w]. The norm of the model's head is not applied."""
    return maps.mean(dim=(2, 3))


class Vision(Extractor):
    """Features of a timm model. Images are resized bicubically with antialiasing, then neither clamped nor rounded."""

    space: Space

    def __init__(self, config: VisionConfig):
        super().__init__()
        self.config = config
        self.width = self.space.width

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        network = {"network": self.space.model, "weights": file_hash(self.file), "size": self.space.size}
        return {**network, "resize": "bicubic antialias", "autocast": self.config.autocast}

    @cached_property
    def file(self) -> Path:
        """The file of weights: the one in `weights`, or timm's. Raises DataError if it is missing."""
        if self.config.weights is None:
            return published(self.space.model)
        file = Path(self.config.weights).expanduser()
        if not file.is_file():
            raise DataError(f"There is no file {file}. Set `weights` to the weights of {self.space.model}.")
        return file

    def load(self) -> nn.Module:
        """Load the timm model. Raises DataError for missing or wrong weights, NanoGenError if timm is missing."""
        sizes = {"dynamic_img_size": True, "dynamic_img_pad": True} if self.space.any_size else {}
        network: nn.Module = _timm().create_model(self.space.model, pretrained=False, num_classes=0, **sizes)
        fill(network, self.file)
        return network

    def forward_features(self, network: Any, pixels: Tensor) -> Sequence[Tensor]:
        x = normalised(resized(pixels, self.space.size), self.space)
        half = self.config.autocast and self.space.any_size and x.device.type == "cuda"
        with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=half):
            return [self.space.pool(network, network.forward_features(x))]


def published(model: str) -> Path:
    """Fetch timm's weights of a model from the Hugging Face hub or its cache.

    Raises:
        DataError: The weights cannot be fetched.
        NanoGenError: The package timm is not installed.
    """
    known = _timm().get_pretrained_cfg(model)
    try:
        from huggingface_hub import hf_hub_download

        return Path(hf_hub_download(known.hf_hub_id, PUBLISHED))
    except Exception as error:  # the hub client raises errors of many types
        raise DataError(
            f"The weights of {model} cannot be fetched ({_reason(error)}). Put them into the Hugging Face cache, or set"
            " `weights` to their file."
        ) from error


def fill(network: nn.Module, file: Path) -> None:
    """Load weights in the format of timm or of the model's authors. Raises DataError for weights of another model."""
    family, state = import_module(type(network).__module__), _unwrapped(read_weights(file))
    model = f"the weights of a {type(network).__name__}"
    try:
        left = network.load_state_dict(family.checkpoint_filter_fn(state, network), strict=False)
    except Exception as error:  # names and shapes of another model raise errors of many types
        raise DataError(
            f"{file} holds the weights of another model ({_reason(error)}). Set `weights` to {model}."
        ) from error
    unexpected = [name for name in left.unexpected_keys if not name.startswith("head.")]  # a classifier or projection
    if left.missing_keys or unexpected:
        name = [*left.missing_keys, *unexpected][0]
        side = "lacks" if left.missing_keys else "has the unknown"
        raise DataError(f"{file} holds the weights of another model: it {side} {name!r}. Set `weights` to {model}.")


def _unwrapped(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Strip the prefixes that DDP and torch.compile add to parameter names."""
    return {name.removeprefix("module.").removeprefix("_orig_mod."): value for name, value in state.items()}


def _reason(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__


def normalised(pixels: Tensor, space: Space) -> Tensor:
    """Normalise images [B, 3, H, W] in [0, 255] by the space's mean and standard deviation."""
    mean, deviation = (255 * torch.tensor(values, device=pixels.device)[:, None, None] for values in space.normal)
    return (pixels - mean) / deviation


def _timm() -> Any:
    try:
        return import_module("timm")
    except (ImportError, RuntimeError) as error:
        raise NanoGenError(
            f"This feature space needs timm, which cannot be imported ({error}). Run `pip install"
            " nanogen-fidelity[timm]`, and install the torchvision release that matches the installed torch."
        ) from error


class ConvNeXt(Vision):
    """ConvNeXt V2 base: the spatial mean of the last feature map, 1024 features, without the norm of the head."""

    space = Space("convnextv2_base.fcmae_ft_in22k_in1k", 224, 1024, IMAGENET, spatial_mean, any_size=False)


class DinoV2(Vision):
    """DINOv2 large: the class token, 1024 features. Inputs of 256 pixels are padded to 266, which makes 362 tokens."""

    space = Space("vit_large_patch14_dinov2.lvd142m", 256, 1024, IMAGENET, class_token)


class Mae(Vision):
    """MAE large: the class token, 1024 features."""

    space = Space("vit_large_patch16_224.mae", 224, 1024, IMAGENET, class_token)


class SigLip(Vision):
    """SigLIP 2 so400m: the attention pooling of the tokens, 1152 features."""

    space = Space("vit_so400m_patch16_siglip_256.v2_webli", 224, 1152, HALF, attention_pool)


class Clip(Vision):
    """CLIP large: the class token before the projection, 1024 features."""

    space = Space("vit_large_patch14_clip_224.openai", 256, 1024, CLIP, class_token)
