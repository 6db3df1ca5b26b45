"""Compute precision of a run."""

from __future__ import annotations

import torch

ACCELERATE_NAMES = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}


def choose(precision: str, device: torch.device) -> str:
    """Return the precision; "auto" becomes "bf16" if the device has units for it, else "fp32".

    On a CPU without such units, bf16 is 5 to 12 times slower than fp32.
    """
    if precision != "auto":
        return precision
    return "bf16" if has_bf16_units(device) else "fp32"


def has_bf16_units(device: torch.device) -> bool:
    """Return whether a GPU or an x86 CPU computes bf16 in hardware. False for other devices."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        return any(getattr(torch.cpu, probe, bool)() for probe in probes)
    return False
