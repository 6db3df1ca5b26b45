"""One example as the bytes of a safetensors file, and back without a copy of its tensors.

`latents` [V, C, h, w], one for each variant of the image, and `states` [n, D] of a caption's real tokens (n is 0 for an
empty caption); label and caption stand in the metadata, under one key, since the order of several would be chance.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from nanogen_core.data import Example

DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
CONDITION = "condition"


def pack(latents: Tensor, states: Tensor | None, label: int | None, caption: str | None) -> bytes:
    """The file of one example; its tensors keep their dtype."""
    tensors = {"latents": latents} if states is None else {"latents": latents, "states": states}
    words = {key: value for key, value in (("label", label), ("caption", caption)) if value is not None}
    whole = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    return bytes(save(whole, {CONDITION: json.dumps(words, sort_keys=True)}))


def unpack(data: bytearray) -> Example:
    """What `pack` was given, as float32. Raises ValueError, KeyError or TypeError for other bytes."""
    size = int.from_bytes(data[:8], "little")
    header = json.loads(bytes(data[8 : 8 + size]))
    words = json.loads(header["__metadata__"][CONDITION])
    states = _tensor(data, header["states"], 8 + size) if "states" in header else None
    latents = _tensor(data, header["latents"], 8 + size)
    return Example(None, words.get("label"), words.get("caption"), latents=latents, states=states)


def _tensor(data: bytearray, entry: Mapping[str, Any], start: int) -> Tensor:
    begin, end = entry["data_offsets"]
    dtype = DTYPES[entry["dtype"]]
    if begin == end:  # frombuffer takes no empty range
        return torch.zeros(entry["shape"])
    values = torch.frombuffer(data, dtype=dtype, count=(end - begin) // dtype.itemsize, offset=start + begin)
    return values.reshape(entry["shape"]).float()
