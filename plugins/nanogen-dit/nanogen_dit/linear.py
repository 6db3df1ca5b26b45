"""Linear maps with the faster of two matrix products: torch's default, or oneDNN on an AMD CPU with AVX-512.

torch multiplies float32 matrices with MKL, which does not use AVX-512 on CPUs of other vendors than Intel. On two AMD
EPYCs oneDNN, which torch ships as well, was 2.3 and 1.25 times as fast. On an Intel Xeon the products of a step were
slower with oneDNN. Both accumulate in float32, in different orders.

On a GPU, cuBLAS has its fast 16-bit kernels for rows of whole 16 bytes only. Other matrices are padded with zeros, such
as those of SwiGLU with 5461 inner units (`ddt`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import register_flop_formula

SCHEMA = "(Tensor X, Tensor W, Tensor? B, str attr, Scalar?[] scalars, str? algorithm) -> Tensor"


def _has_onednn() -> bool:
    kernel = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
    known = kernel is not None and SCHEMA in str(kernel.default._schema)  # private to torch, may change
    return known and torch.backends.cpu.get_cpu_capability() == "AVX512"


def _is_intel(cpuinfo: Path) -> bool:
    """Return whether the first CPU is Intel's. Also True where the system does not say so, to keep torch's default."""
    try:
        with cpuinfo.open() as file:
            return "GenuineIntel" in file.read(1000)
    except OSError:
        return True


AVAILABLE = _has_onednn()  # whether oneDNN's product exists, with AVX-512
ONEDNN = AVAILABLE and not _is_intel(Path("/proc/cpuinfo"))  # whether it is the faster one
PADDED_ON = "cuda"
ALIGNED = 8  # 16-bit numbers in 16 bytes
SMALLEST = 256  # narrower products take too little time to gain from padding


class Linear(nn.Linear):
    """`nn.Linear` that computes its product with `linear`."""

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Compute `x weight^T + bias` as `F.linear` does, with derivatives of every order and mode.

    Under torch.compile, oneDNN's product has reverse-mode derivatives only.

    Args:
        x: [..., K].
        weight: [N, K].
        bias: [N] or None.

    Returns:
        [..., N].

    Raises:
        RuntimeError: The shapes do not match.
    """
    if x.device.type == PADDED_ON and _is_unaligned(x, weight):
        return _padded(x, weight, bias)
    return (_product if _prefers_onednn(x, weight) else F.linear)(x, weight, bias)


def _is_unaligned(x: Tensor, weight: Tensor) -> bool:
    plain = type(weight) in (Tensor, nn.Parameter) and x.shape[-1:] == weight.shape[1:]  # no DTensor
    sides = min(weight.shape) >= SMALLEST and any(side % ALIGNED for side in weight.shape)
    return plain and sides and _dtype(x) in (torch.bfloat16, torch.float16)


def _dtype(x: Tensor) -> torch.dtype:
    """Return the dtype in which torch multiplies x here."""
    return torch.get_autocast_dtype(x.device.type) if torch.is_autocast_enabled(x.device.type) else x.dtype


def _padded(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Compute the product with zeros as further inputs and outputs. Weights are padded in the dtype of the product."""
    outputs, (rows, columns) = len(weight), (-side % ALIGNED for side in weight.shape)
    if torch.is_autocast_enabled(x.device.type):
        x, weight = x.to(_dtype(x)), weight.to(_dtype(x))
    bias = None if bias is None else F.pad(bias, (0, rows))
    return F.linear(F.pad(x, (0, columns)), F.pad(weight, (0, columns, 0, rows)), bias)[..., :outputs]


def _prefers_onednn(x: Tensor, weight: Tensor) -> bool:
    plain = type(x) is Tensor and type(weight) in (Tensor, nn.Parameter)  # no DTensor, no fake tensor
    single = x.dtype == weight.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    fits = x.shape[-1:] == weight.shape[1:] and x.numel() > 0  # F.linear raises the clearer error
    return ONEDNN and plain and single and fits and x.device.type == weight.device.type == "cpu"


def _product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    # views, since `_is_wanted` does not work on leaf tensors
    weight, bias = weight.view_as(weight), None if bias is None else bias.view_as(bias)
    function: Any = Product if torch.compiler.is_compiling() else DualProduct
    out: Tensor = function.apply(x, weight, bias, torch.is_grad_enabled())
    return out


def _kernel(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return the bare product, for which torch has no derivative."""
    kernel = torch.ops.nanogen.linear if torch.compiler.is_compiling() else _onednn
    out: Tensor = kernel(x, weight, bias)
    return out


def _onednn(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    out: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return out


#: For compiled networks: torch.compile assumes constant weights in oneDNN's product.
_opaque = torch.library.custom_op(
    "nanogen::linear", _onednn, mutates_args=(), schema="(Tensor x, Tensor weight, Tensor? bias) -> Tensor"
)


@_opaque.register_fake
def _shape(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return x.new_empty((*x.shape[:-1], weight.shape[0]))


class Product(torch.autograd.Function):
    """`x weight^T + bias` with reverse-mode derivatives, for torch.compile, which cannot compile a custom `jvp`."""

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None, recorded: bool) -> Tensor:
        return _kernel(x, weight, bias)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[:2])
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor | None) -> Any:
        if gradient is None:
            return None, None, None, None
        x, weight = ctx.saved_tensors
        product = _product if torch.is_grad_enabled() else _kernel
        rows = gradient.reshape(-1, gradient.shape[-1])  # [R, N]
        return (
            product(gradient, weight.t()) if ctx.needs_input_grad[0] else None,
            _outer(product, rows, x.reshape(-1, x.shape[-1])) if _is_wanted(ctx, 1) else None,
            rows.sum(dim=0) if _is_wanted(ctx, 2) else None,
            None,
        )


class DualProduct(Product):
    """`x weight^T + bias` with reverse- and forward-mode derivatives and `vmap`. FLOP counters see its products."""

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None, recorded: bool) -> Tensor:
        with torch.set_grad_enabled(recorded):  # off by default inside an autograd function
            return _kernel(x.detach(), weight.detach(), None if bias is None else bias.detach())

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        Product.setup_context(ctx, inputs, output)
        ctx.save_for_forward(*inputs[:2])

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor | None) -> Tensor | None:
        x, weight = ctx.saved_tensors
        of_x, of_weight, of_bias, _ = tangents
        parts = [] if of_x is None else [_product(of_x, weight)]
        parts += [] if of_weight is None else [_product(x, of_weight)]
        parts += [] if of_bias is None else [of_bias.expand(*x.shape[:-1], -1)]
        return torch.stack(parts).sum(dim=0) if len(parts) > 1 else next(iter(parts), None)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], x: Tensor, weight: Tensor, bias: Any, recorded: bool) -> Any:
        if in_dims[1] is None and in_dims[2] is None:
            return linear(x.movedim(in_dims[0], 0), weight, bias), 0
        return torch.vmap(F.linear, in_dims=in_dims[:3])(x, weight, bias), 0


def _outer(product: Callable[..., Tensor], rows: Tensor, inputs: Tensor) -> Tensor:
    """`rows^T inputs` [N, K]. The kernel copies a non-contiguous first factor, so that the smaller one comes first."""
    if rows.shape[1] <= inputs.shape[1]:
        return product(rows.t(), inputs.t())
    return product(inputs.t(), rows.t()).t()


def _is_wanted(ctx: Any, place: int) -> bool:
    """Return whether the current backward pass uses the gradient of an input.

    `needs_input_grad` holds for all passes. The first of MeanFlow's two passes needs no gradients of weights.
    """
    needed: bool = ctx.needs_input_grad[place]
    if not needed or torch.compiler.is_compiling():
        return needed
    is_used: bool = torch._C._will_engine_execute_node(ctx.next_functions[place][0])
    return is_used


def _flops(x: Sequence[int], weight: Sequence[int], *rest: Any, out_shape: Any = None, **options: Any) -> int:
    *batch, inputs = x
    return 2 * torch.Size(batch).numel() * inputs * weight[0]


if AVAILABLE:
    register_flop_formula(torch.ops.mkldnn._linear_pointwise)(_flops)
