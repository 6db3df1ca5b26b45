"""GPU specifications from data sheets."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen

from nanogen_core.errors import UnknownName, listing, near_miss
from nanogen_core.validators import positive


@frozen(kw_only=True)
class GPU:
    """A GPU.

    Attributes:
        memory: Memory in GiB.
        tflops: Peak TFLOP/s of dense bf16 matrix products.
    """

    memory: float = field(validator=positive)
    tflops: float = field(validator=positive)


GPUS: Mapping[str, GPU] = {
    "a100-40": GPU(memory=40, tflops=312),
    "a100": GPU(memory=80, tflops=312),
    "h100": GPU(memory=80, tflops=989),
    "h200": GPU(memory=141, tflops=989),
    "l40s": GPU(memory=48, tflops=362),
    "rtx4090": GPU(memory=24, tflops=165),
}


def gpu_of(name: str) -> GPU:
    """Return the GPU of this name. Raises UnknownName if there is none."""
    if name not in GPUS:
        raise UnknownName(f"Unknown GPU {name!r}.{near_miss(name, GPUS)} Known: {listing(GPUS)}.")
    return GPUS[name]
