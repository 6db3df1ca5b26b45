"""Serialisation of an example as a safetensors file. Reading does not copy float32 tensors.

The tensor `latents` [V, C, h, w] has one latent per variant of the image. Each of the tensors `states`, `states.1`,
`states.2` and so on has the states [n, D] of the n unmasked tokens of one caption, in the order of `Example.states`.
For an empty text, n may be 0.

The label, the captions, the probabilities of the captions (`weights`) and the missing caption keys (`missing`) are JSON
under a single metadata key, so that equal examples have equal bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import count, takewhile
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from nanogen_data.captions import WeightedCaptions
from nanogen_data.loader import Example

DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
CONDITION = "condition"


def pack(latents: Tensor, states: Sequence[Tensor], label: int | None, caption: str | Sequence[str] | None) -> bytes:
    """Serialise an example. Tensors keep their dtype.

    Args:
        latents: Latents [V, C, h, w].
        states: Token states [n, D] of each caption, in the order of `Example.states`; empty if none are stored.
        label: Class index, or None.
        caption: Caption, several captions, or None.
    """
    tensors = {"latents": latents, **{_states(number): rows for number, rows in enumerate(states)}}
    metadata: dict[str, Any] = {"label": label, "caption": caption}
    metadata = {key: value for key, value in metadata.items() if value is not None}
    if isinstance(caption, WeightedCaptions):
        metadata |= {"weights": caption.weights, "missing": caption.missing}
    contiguous = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    return bytes(save(contiguous, {CONDITION: json.dumps(metadata, sort_keys=True)}))


def unpack(data: bytearray) -> Example:
    """Deserialise an example; tensors become float32. Raises ValueError for invalid bytes."""
    try:
        return _unpacked(data)
    except Exception as error:  # a corrupt header can be anything
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _unpacked(data: bytearray) -> Example:
    size = int.from_bytes(data[:8], "little")
    header = json.loads(bytes(data[8 : 8 + size]))
    metadata = json.loads(header["__metadata__"][CONDITION])
    latents = _tensor(data, header["latents"], 8 + size)
    names = list(takewhile(header.__contains__, map(_states, count())))
    rows = tuple(_tensor(data, header[name], 8 + size) for name in names)
    caption = metadata.get("caption")
    captions = tuple(caption) if isinstance(caption, list) else caption
    if "weights" in metadata:
        captions = WeightedCaptions(caption, metadata["weights"], metadata["missing"])
    states = (rows if len(rows) > 1 else rows[0]) if rows else None
    return Example(None, metadata.get("label"), captions, latents=latents, states=states)


def _states(number: int) -> str:
    """Return the tensor name of a caption's states."""
    return f"states.{number}" if number else "states"


def _tensor(data: bytearray, entry: Mapping[str, Any], start: int) -> Tensor:
    begin, end = entry["data_offsets"]
    dtype = DTYPES[entry["dtype"]]
    if begin == end:  # frombuffer rejects an empty range
        return torch.zeros(entry["shape"])
    values = torch.frombuffer(data, dtype=dtype, count=(end - begin) // dtype.itemsize, offset=start + begin)
    return values.reshape(entry["shape"]).float()
