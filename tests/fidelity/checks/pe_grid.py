"""Perception Encoder at another grid than that of pre-training: pixels, positions, rotary angles, tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from nanogen_files import storage
from nanogen_rae.config import EncoderConfig
from nanogen_rae.encoder import PublishedEncoder
from tests.fidelity.measurement import Measurement
from tests.fidelity.recorded import compared, read, under

TOLERANCE = 1e-4
ROWS = 8  # every eighth row of the prepared pixels is recorded


@torch.no_grad()
def measure(path: Path) -> Iterator[Measurement]:
    """Measure the encoder with the weights of the fixture under timm's names."""
    facts, tensors = read(path)
    with TemporaryDirectory() as folder:
        _write_checkpoint(Path(folder), facts, tensors)
        yield from compared(_computed(Path(folder), facts, tensors), tensors, TOLERANCE)


def _write_checkpoint(folder: Path, facts: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    described = {name: facts["timm"][name] for name in ("architecture", "model_args")}
    storage.write_json(folder / "config.json", described)
    storage.write_tensors(folder / "model.safetensors", under(tensors, "timm."))


def _computed(folder: Path, facts: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Compute every recorded output."""
    size, side = facts["image_size"], facts["grid"] * facts["patch"]
    if "in.images_u8" in tensors:
        images, options = tensors["in.images_u8"] / 127.5 - 1, {}
    else:
        images, options = tensors["in.pixels"], {"side": side}  # preprocessed pixels
    encoder = PublishedEncoder(facts["published_name"], EncoderConfig(path=str(folder), **options))
    network = encoder.network(images.shape[-1])
    found = {
        "out.tokens": _tokens(encoder, images),
        "out.position_table": network.position_table(facts["grid"])[0],
        "out.rope_angles": network.angles(facts["grid"]),
        "out.native_tokens": _native(folder, facts, tensors),
    }
    if not options:
        assert images.shape[-1] == size
        found["out.pixels_rows"] = encoder.prepared(images)[:, :, ::ROWS]
    if facts["final_norm"] != "none":
        normed = EncoderConfig(path=str(folder), norm="affine", **options)
        found["out.tokens_normed"] = _tokens(PublishedEncoder(facts["published_name"], normed), images)
    return found


def _tokens(encoder: PublishedEncoder, images: Tensor) -> Tensor:
    """Class token, if any, and patch tokens: [B, (1) + N, D]."""
    encoded = encoder.encode(images)
    first = [] if encoded.class_token is None else [encoded.class_token[:, None]]
    return torch.cat([*first, encoded.tokens], dim=1)


def _native(folder: Path, facts: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Tensor:
    """Tokens at the grid of pre-training, without resampling."""
    images = tensors["in.native_u8"] / 127.5 - 1
    native = EncoderConfig(path=str(folder), side=facts["pretraining_grid"] * facts["patch"])
    return _tokens(PublishedEncoder(facts["published_name"], native), images)
