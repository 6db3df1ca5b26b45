"""Decoder weights as they were published, and as this plugin writes them, by the names of its own decoder."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from nanogen_core.errors import DataError
from nanogen_core.pipeline import load_exactly
from nanogen_core.weights import read_weights

#: In a folder: what diffusers saves, then what a stage 1 run writes.
FILES = ("diffusion_pytorch_model.safetensors", "decoder.safetensors")

#: Published names -> own ones, tried on the whole name in this order. diffusers' RAE and the original repository
#: (ViT-MAE's names) differ in the attention alone.
NAMES = tuple(
    (re.compile(pattern), name)
    for pattern, name in [
        (r"decoder_embed\.(\w+)", r"embed.\1"),
        (r"decoder_norm\.(\w+)", r"norm.\1"),
        (r"decoder_pred\.(\w+)", r"head.\1"),
        (r"trainable_cls_token", r"class_token"),
        (r"decoder_layers\.(\d+)\.layernorm_(before|after)\.(\w+)", r"blocks.\1.norm_\2.\3"),
        (r"decoder_layers\.(\d+)\.attention\.attention\.(query|key|value)\.(\w+)", r"blocks.\1.attention.\2.\3"),
        (r"decoder_layers\.(\d+)\.attention\.output\.dense\.(\w+)", r"blocks.\1.attention.out.\2"),
        (r"decoder_layers\.(\d+)\.attention\.to_q\.(\w+)", r"blocks.\1.attention.query.\2"),
        (r"decoder_layers\.(\d+)\.attention\.to_k\.(\w+)", r"blocks.\1.attention.key.\2"),
        (r"decoder_layers\.(\d+)\.attention\.to_v\.(\w+)", r"blocks.\1.attention.value.\2"),
        (r"decoder_layers\.(\d+)\.attention\.to_out\.0\.(\w+)", r"blocks.\1.attention.out.\2"),
        (r"decoder_layers\.(\d+)\.intermediate\.dense\.(\w+)", r"blocks.\1.mlp_in.\2"),
        (r"decoder_layers\.(\d+)\.output\.dense\.(\w+)", r"blocks.\1.mlp_out.\2"),
    ]
)
FIXED = "decoder_pos_embed"  # the table of positions, which is computed


def load_decoder(decoder: nn.Module, path: str) -> None:
    """Fills a decoder. Raises DataError where the file is missing or of another decoder."""
    file = weights_file(Path(path).expanduser())
    state = own_names(read_weights(file))
    load_exactly(decoder, state, expected=decoder.state_dict(), source=file)


def weights_file(path: Path) -> Path:
    """The file itself, or the one that a folder holds. Raises DataError where there is none."""
    candidates = [path / name for name in FILES] if path.is_dir() else [path]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise DataError(
        f"There are no decoder weights at {path}: set `tokenizer.decoder.path` to the decoder.safetensors of a stage 1 "
        f"run, to the model.pt of a published decoder, or to the folder of a RAE that diffusers saved."
    )


def own_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The decoder's tensors by the names of `Decoder`; those of an encoder in the same file are left out."""
    inside = {name.removeprefix("decoder."): value for name, value in state.items() if name.startswith("decoder.")}
    tensors = inside or dict(state)
    return {_own(name): value for name, value in tensors.items() if name != FIXED}


def _own(name: str) -> str:
    for pattern, own in NAMES:
        if pattern.fullmatch(name):
            return pattern.sub(own, name)
    return name
