"""One example as the bytes of a safetensors file, and back without a copy of its tensors.

`latents` [V, C, h, w] has one latent for each variant of the image. `states` [n, D] has a caption's real tokens (n is 0
for an empty caption), and `states.1` and so on those of further captions. Label and captions stand in the metadata,
under one key, so that their order does not vary.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import count, takewhile
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from nanogen_data.loader import Example

DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
CONDITION = "condition"


def pack(latents: Tensor, states: Sequence[Tensor], label: int | None, caption: str | Sequence[str] | None) -> bytes:
    """The file of one example; its tensors keep their dtype. `states` are as many as captions, or none."""
    tensors = {"latents": latents, **{_states(number): rows for number, rows in enumerate(states)}}
    words = {key: value for key, value in (("label", label), ("caption", caption)) if value is not None}
    whole = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    return bytes(save(whole, {CONDITION: json.dumps(words, sort_keys=True)}))


def unpack(data: bytearray) -> Example:
    """What `pack` was given, as float32. Raises ValueError for other bytes."""
    try:
        return _unpacked(data)
    except Exception as error:  # a damaged header is JSON of any form, or none
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _unpacked(data: bytearray) -> Example:
    size = int.from_bytes(data[:8], "little")
    header = json.loads(bytes(data[8 : 8 + size]))
    words = json.loads(header["__metadata__"][CONDITION])
    latents = _tensor(data, header["latents"], 8 + size)
    names = list(takewhile(header.__contains__, map(_states, count())))
    rows = tuple(_tensor(data, header[name], 8 + size) for name in names)
    caption = words.get("caption")
    captions = tuple(caption) if isinstance(caption, list) else caption
    states = (rows if len(rows) > 1 else rows[0]) if rows else None
    return Example(None, words.get("label"), captions, latents=latents, states=states)


def _states(number: int) -> str:
    """The tensor of a caption's states; the only caption's has no number."""
    return f"states.{number}" if number else "states"


def _tensor(data: bytearray, entry: Mapping[str, Any], start: int) -> Tensor:
    begin, end = entry["data_offsets"]
    dtype = DTYPES[entry["dtype"]]
    if begin == end:  # frombuffer takes no empty range
        return torch.zeros(entry["shape"])
    values = torch.frombuffer(data, dtype=dtype, count=(end - begin) // dtype.itemsize, offset=start + begin)
    return values.reshape(entry["shape"]).float()
