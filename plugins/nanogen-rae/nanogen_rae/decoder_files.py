"""Reads decoder weights in the published layouts and in the layout of stage 1 runs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from nanogen_core.errors import ConfigError, DataError
from nanogen_files.weights import load_exactly, read_content, refuse_nonfinite

Output = Literal["pixels", "normalised"]  # in [0, 1], or normalised by the encoder's mean and standard deviation
Weights = Literal["ema", "model"]  # sets of weights in a training checkpoint

#: File names in a folder: that of diffusers, then that of a stage 1 run.
FILES = ("diffusion_pytorch_model.safetensors", "decoder.safetensors")

#: Published names -> names of `Decoder`, as patterns for the whole name. diffusers' RAE and the original repository
#: (names of ViT-MAE) differ only in the attention.
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
WRAPPERS = re.compile(r"^(?:module\.|_orig_mod\.)+")  # prefixes of DDP and torch.compile
POSITIONS = "decoder_pos_embed"  # fixed sine-cosine table
DIFFUSERS_NAME = ".attention.to_q."  # only in diffusers' class, whose output is always normalised
OUTPUT_MARK = "writes_normalised_pixels"  # scalar 0 or 1 in the files of stage 1
POSITION_TOLERANCE = 0.01  # for positions in half precision


class DecoderFile(NamedTuple):
    """Tensors of a decoder under NanoGen's names, and the kind of output that the file declares."""

    source: Path
    state: dict[str, Tensor]
    positions: Tensor | None  # [1, 1 + N, D]; None: the file has no table
    output: Output | None  # None: the file declares no output

    def output_as(self, option: Output | None) -> Output:
        """Return the kind of output ("pixels" or "normalised") that the file or the option `decoder.output` declares.

        Raises:
            ConfigError: Neither declares it, or they disagree.
        """
        if option is None and self.output is None:
            raise ConfigError(
                f"{self.source} does not declare the output of its decoder. Set `tokenizer.decoder.output` to "
                f"'normalised' for a decoder of the original RAE repository (nyu-visionx/RAE-collections), whose "
                f"pixels are normalised by the encoder's mean and standard deviation, or to 'pixels' for one of "
                f"DiffusionBench or RAEv2, whose pixels are in [0, 1]."
            )
        if option is not None and self.output not in (None, option):
            raise ConfigError(
                f"{self.source} contains a decoder with `output: {self.output}`, but `tokenizer.decoder.output` is "
                f"{option!r}. Remove the option."
            )
        output = option or self.output
        assert output is not None
        return output


def load_decoder(decoder: nn.Module, file: DecoderFile) -> None:
    """Load the tensors of `file` into `decoder`. Raises DataError if names, shapes or positions do not match."""
    load_exactly(decoder, file.state, expected=decoder.state_dict(), source=file.source)
    table = getattr(decoder, "table", None)  # [1 + N, D]
    if file.positions is None or table is None:
        return
    given = file.positions.reshape(-1, file.positions.shape[-1]).float()
    if given.shape != table.shape or (given - table.cpu()).abs().max() > POSITION_TOLERANCE:
        raise DataError(
            f"The position table of {file.source} is not the sine-cosine table of {len(table) - 1} tokens. It has "
            f"{len(given) - 1} tokens. Set `image_size` to the size that the decoder was trained for, or "
            "`tokenizer.decoder.path` to another decoder."
        )


def read_decoder(path: Path, weights: Weights = "ema") -> DecoderFile:
    """Read the decoder in a file or folder.

    Args:
        path: The file or folder.
        weights: The set to read from a training checkpoint.

    Raises:
        DataError: There is no file, it is damaged, or it lacks these weights.
    """
    file = weights_file(path)
    state = _decoder_part(_chosen(read_content(file), weights, file))
    refuse_nonfinite(state, file)
    mark, positions = state.pop(OUTPUT_MARK, None), state.pop(POSITIONS, None)
    output: Output | None = "normalised" if any(DIFFUSERS_NAME in name for name in state) else None
    if mark is not None:
        output = "normalised" if bool(mark) else "pixels"
    return DecoderFile(file, to_decoder_names(state), positions, output)


def decoder_names(names: Iterable[str]) -> list[str]:
    """Return the tensor names that belong to a published decoder."""
    return [name for name in names if re.search(r"(^|\.)decoder_(embed|pred|layers\.\d+)\.", name)]


def marked(state: Mapping[str, Tensor], output: Output) -> dict[str, Tensor]:
    """Return the content of a stage 1 decoder file: the tensors, and a scalar that declares the kind of output."""
    return {**state, OUTPUT_MARK: torch.tensor(output == "normalised", dtype=torch.uint8)}


def weights_file(path: Path) -> Path:
    """Return the file of weights: `path` itself, or a file in the folder `path`. Raises DataError if it is missing."""
    candidates = [path / name for name in FILES] if path.is_dir() else [path]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise DataError(
        f"There are no decoder weights at {path}. Set `tokenizer.decoder.path` to the decoder.safetensors of a stage 1 "
        f"run, to the file of a published decoder or checkpoint, or to the folder of a RAE that diffusers saved."
    )


def _chosen(content: Mapping[str, Any], weights: Weights, file: Path) -> Mapping[str, Any]:
    """Return one state dict of a training checkpoint `{"model": ..., "ema": ..., ...}`, or the content itself."""
    states = {name: content[name] for name in ("model", "ema") if isinstance(content.get(name), Mapping)}
    if not states:
        return content
    if weights not in states:
        raise DataError(
            f"{file} has no {weights!r} weights. Set `tokenizer.decoder.weights` to {next(iter(states))!r}."
        )
    chosen: Mapping[str, Any] = states[weights]
    return chosen


def _decoder_part(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the tensors of the decoder, without tensors of an encoder in the same file."""
    tensors = {WRAPPERS.sub("", name): value for name, value in state.items() if isinstance(value, Tensor)}
    decoder = {name.removeprefix("decoder."): x for name, x in tensors.items() if name.startswith("decoder.")}
    return decoder or tensors


def to_decoder_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename published tensors to the names of `Decoder`. Other names are kept; the table of positions is dropped."""
    return {_to_decoder_name(name): value for name, value in state.items() if name != POSITIONS}


def _to_decoder_name(name: str) -> str:
    for pattern, replacement in NAMES:
        if pattern.fullmatch(name):
            return pattern.sub(replacement, name)
    return name
