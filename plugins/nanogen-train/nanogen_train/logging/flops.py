"""How many floating-point operations a step takes: counted while it runs, by torch's own formulas for each kernel."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

_aten = torch.ops.aten
_LIKE = {  # the fused attention of a CPU is not in torch's table; that of a GPU has the same arguments
    _aten._scaled_dot_product_flash_attention_for_cpu: _aten._scaled_dot_product_flash_attention,
    _aten._scaled_dot_product_flash_attention_for_cpu_backward: _aten._scaled_dot_product_flash_attention_backward,
}


class FlopCount(TorchDispatchMode):
    """Counts the matrix products, convolutions and attentions of a block: a multiplication and an addition are two.

    Torch's FlopCounterMode follows modules by hooks, which forward-mode and double differentiation do not bear; this
    follows kernels alone. `without_gradient` is what was computed under `torch.no_grad` (frozen encoders and teachers,
    the optimiser), `with_gradient` the rest, backward passes included.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.with_gradient = 0
        self.without_gradient = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        formula = flop_registry.get(_LIKE.get(func._overloadpacket, func._overloadpacket))
        if formula is not None:
            self._add(formula(*args, **kwargs, out_val=out))
        return out

    def _add(self, flops: int) -> None:
        backward = torch._C._current_graph_task_id() != -1  # a backward pass runs: that keeps no graph either
        if not torch.is_grad_enabled() and not backward:
            self.without_gradient += flops
        else:
            self.with_gradient += flops

    @property
    def figures(self) -> dict[str, float]:
        """By the names under which they are logged."""
        counts = {"with_gradient": self.with_gradient, "without_gradient": self.without_gradient}
        return {f"flops.{name}": float(count) for name, count in counts.items()}
