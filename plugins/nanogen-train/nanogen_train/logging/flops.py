"""Count the floating-point operations of a step while it runs, by torch's formulas for each kernel."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

_aten = torch.ops.aten
_EQUIVALENT = {  # CPU flash attention is missing in torch's table; its arguments are the same as on GPU
    _aten._scaled_dot_product_flash_attention_for_cpu: _aten._scaled_dot_product_flash_attention,
    _aten._scaled_dot_product_flash_attention_for_cpu_backward: _aten._scaled_dot_product_flash_attention_backward,
}


class FlopCount(TorchDispatchMode):
    """Count the FLOPs of matrix products, convolutions and attention in a `with` block. A multiply-add counts as two.

    Works on kernels, so it supports forward-mode and double differentiation. torch's FlopCounterMode does not, because
    it uses module hooks. `without_gradient` counts operations under `torch.no_grad` (frozen encoders, teachers, the
    optimizer), `with_gradient` all others, including backward passes.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.with_gradient = 0
        self.without_gradient = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        formula = flop_registry.get(_EQUIVALENT.get(func._overloadpacket, func._overloadpacket))
        if formula is not None:
            self._add(formula(*args, **kwargs, out_val=out))
        return out

    def _add(self, flops: int) -> None:
        backward = torch._C._current_graph_task_id() != -1  # gradients are disabled in a backward pass, too
        if not torch.is_grad_enabled() and not backward:
            self.without_gradient += flops
        else:
            self.with_gradient += flops

    @property
    def figures(self) -> dict[str, float]:
        """The counts by their logged names."""
        counts = {"with_gradient": self.with_gradient, "without_gradient": self.without_gradient}
        return {f"flops.{name}": float(count) for name, count in counts.items()}
