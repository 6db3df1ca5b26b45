"""Decoder weights as they were published, and as this plugin writes them, by the names of its own decoder."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from nanogen_core.errors import ConfigError, DataError
from nanogen_core.pipeline import load_exactly
from nanogen_files.weights import read_content, refuse_nonfinite

Output = Literal["pixels", "normalised"]  #: in [0, 1], or normalised by the encoder's mean and deviation
Weights = Literal["ema", "model"]  #: of a training checkpoint

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
WRAPPERS = re.compile(r"^(?:module\.|_orig_mod\.)+")  # of DDP and torch.compile
POSITIONS = "decoder_pos_embed"  # the table of positions, which is computed
OF_DIFFUSERS = ".attention.to_q."  # whose class always undoes the encoder's normalisation
MARK = "writes_normalised_pixels"  # in own files: [], 1 or 0
NEAR = 0.01  # positions that were saved in half precision


class DecoderFile(NamedTuple):
    """The tensors of a decoder by the names of `Decoder`, and what the file tells of its output."""

    source: Path
    state: dict[str, Tensor]
    positions: Tensor | None  # [1, 1 + N, D], where the file has them
    output: Output | None  # None: the file does not tell

    def output_as(self, asked: Output | None) -> Output:
        """What the decoder writes. Raises ConfigError where nobody says it, and where file and option disagree."""
        if asked is None and self.output is None:
            raise ConfigError(
                f"{self.source} does not tell what its decoder writes: set `tokenizer.decoder.output` to 'normalised' "
                f"for a decoder of the original RAE repository (nyu-visionx/RAE-collections), whose pixels are "
                f"normalised by the encoder's mean and deviation, or to 'pixels' for one of DiffusionBench or RAEv2, "
                f"which writes [0, 1]."
            )
        if asked is not None and self.output not in (None, asked):
            raise ConfigError(
                f"{self.source} holds a decoder with `output: {self.output}`, and `tokenizer.decoder.output` is "
                f"{asked!r}: leave the option out."
            )
        output = asked or self.output
        assert output is not None
        return output


def load_decoder(decoder: nn.Module, file: DecoderFile) -> None:
    """Fills a decoder. Raises DataError for the file of another one."""
    load_exactly(decoder, file.state, expected=decoder.state_dict(), source=file.source)
    table = getattr(decoder, "table", None)  # [1 + N, D]
    if file.positions is None or table is None:
        return
    given = file.positions.reshape(-1, file.positions.shape[-1]).float()
    if given.shape != table.shape or (given - table.cpu()).abs().max() > NEAR:
        raise DataError(
            f"{file.source} was trained on other positions than the sine-cosine ones of {len(table) - 1} tokens "
            f"(it has {len(given) - 1}): set `image_size` to the one that it was trained for."
        )


def read_decoder(path: Path, weights: Weights = "ema") -> DecoderFile:
    """The decoder in a file or folder; `weights` chooses those of a training checkpoint. Raises DataError."""
    file = weights_file(path)
    state = _decoder_part(_chosen(read_content(file), weights, file))
    refuse_nonfinite(state, file)
    mark, positions = state.pop(MARK, None), state.pop(POSITIONS, None)
    output: Output | None = "normalised" if any(OF_DIFFUSERS in name for name in state) else None
    if mark is not None:
        output = "normalised" if bool(mark) else "pixels"
    return DecoderFile(file, own_names(state), positions, output)


def decoder_names(names: Iterable[str]) -> list[str]:
    """Those of these tensors, by dotted names, that belong to a published decoder."""
    return [name for name in names if re.search(r"(^|\.)decoder_(embed|pred|layers\.\d+)\.", name)]


def marked(state: Mapping[str, Tensor], output: Output) -> dict[str, Tensor]:
    """A decoder's tensors as they are written, with a mark that tells what it writes."""
    return {**state, MARK: torch.tensor(output == "normalised", dtype=torch.uint8)}


def weights_file(path: Path) -> Path:
    """The file itself, or the one that a folder holds. Raises DataError where there is none."""
    candidates = [path / name for name in FILES] if path.is_dir() else [path]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise DataError(
        f"There are no decoder weights at {path}: set `tokenizer.decoder.path` to the decoder.safetensors of a stage 1 "
        f"run, to the file of a published decoder or checkpoint, or to the folder of a RAE that diffusers saved."
    )


def _chosen(content: Mapping[str, Any], weights: Weights, file: Path) -> Mapping[str, Any]:
    """The state dict of a training checkpoint `{"model": ..., "ema": ..., ...}`, or the content itself."""
    states = {name: content[name] for name in ("model", "ema") if isinstance(content.get(name), Mapping)}
    if not states:
        return content
    if weights not in states:
        raise DataError(
            f"{file} has no {weights!r} weights: set `tokenizer.decoder.weights` to {next(iter(states))!r}."
        )
    chosen: Mapping[str, Any] = states[weights]
    return chosen


def _decoder_part(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of the decoder; those of an encoder in the same file are left out."""
    tensors = {WRAPPERS.sub("", name): value for name, value in state.items() if isinstance(value, Tensor)}
    inside = {name.removeprefix("decoder."): x for name, x in tensors.items() if name.startswith("decoder.")}
    return inside or tensors


def own_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors by the names of `Decoder`. The table of positions is left out."""
    return {_own(name): value for name, value in state.items() if name != POSITIONS}


def _own(name: str) -> str:
    for pattern, own in NAMES:
        if pattern.fullmatch(name):
            return pattern.sub(own, name)
    return name
