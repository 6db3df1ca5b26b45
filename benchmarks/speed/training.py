"""Speed of training steps: plain loop, bf16, matrix products, EMA, MeanFlow derivative, noise."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from statistics import median

import numpy
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks.speed.parts import batch, pipeline, plain_loop, run, settings
from benchmarks.speed.products import Products
from benchmarks.speed.timing import Row, in_turn, ratio
from nanogen_core.randomness import KeyedRNG
from nanogen_core.tensors import Batch, Prediction
from nanogen_dit.fused_attention import fused_attention
from nanogen_dit.linear import ONEDNN, Linear, linear
from nanogen_meanflow.derivative import AverageVelocityFn, JVPInputs, JVPOutput
from nanogen_train.ema.ema import EMA
from nanogen_train.logging.flops import FlopCount
from nanogen_train.trainer.loop import Run
from nanogen_train.trainer.precision import has_bf16_units

ROUNDS = {"tiny": 15, "small": 5}
AT_LEAST = {"tiny": 0.4, "small": 0.6}  # share of the products in a step
# Speed of `linear` divided by that of torch.mm, and the bounds of a step at these gains; interpolated between them.
GAINS = (1.0, 1.25, 2.3)  # no gain, and two AMD EPYCs
EAGER, COMPILED, MEANFLOW = (0.95, 1.0, 1.15), (1.0, 1.03, 1.3), (1.05, 1.08, 1.3)
BF16 = 1.25


def steps() -> Iterator[Row]:
    """Compare our float32 step, eager and compiled, with the plain loop."""
    for size, rounds in ROUNDS.items():
        for compiled, bound in ((False, EAGER), (True, COMPILED)):
            given = batch()
            ours = run(pipeline(size, train=settings(compile="blocks" if compiled else "none")))
            other = plain_loop(ours.pipeline, given)
            figure, detail = ratio(partial(ours._one_step, given), other, rounds=rounds, warm_up=3)
            yield Row(
                name=f"training step, {size}, fp32{', compiled' if compiled else ''}",
                against="a plain eager loop",
                figure=figure,
                at_least=_bound(bound),
                detail=detail,
            )


def _bound(bounds: Sequence[float]) -> float:
    """Return the bound for a step on this machine, by the gain of `linear`."""
    return round(float(numpy.interp(_product_gain(), GAINS, bounds)), 2)


@cache
def _product_gain() -> float:
    """Return how many times as fast `linear` is as torch.mm for 2048 x 2048 matrices, 1 if they are the same."""
    if not ONEDNN:
        return 1.0
    a, b = torch.randn(2, 2048, 2048)
    return max(1.0, ratio(partial(linear, a, b), partial(torch.mm, a, b), rounds=7)[0])


def bf16() -> Iterator[Row]:
    """Compare our step in bf16 with the plain loop in float32, on a CPU that computes bf16 in hardware."""
    if not has_bf16_units(torch.device("cpu")):
        print("bf16: left out, because this CPU does not compute bf16 in hardware.", file=sys.stderr)
        return
    for size, rounds in ROUNDS.items():
        given = batch()
        ours = run(pipeline(size, train=settings(precision="bf16")))
        other = plain_loop(ours.pipeline, given)
        figure, detail = ratio(partial(ours._one_step, given), other, rounds=rounds)
        yield Row(
            name=f"training step, {size}, bf16",
            against="a plain eager loop in fp32",
            figure=figure,
            at_least=BF16,
            detail=detail,
        )


def efficiency() -> Iterator[Row]:
    """Compare a float32 step with its own products alone: the time that nothing but faster products could save.

    The detail also shows both FLOP rates, and the best rate of a product of 2048 x 2048 matrices. A small step cannot
    reach the last one on every machine: its products are small.
    """
    for size, rounds in ROUNDS.items():
        ours, given = run(pipeline(size, train=settings())), batch()
        step = partial(ours._one_step, given)
        with FlopCount() as count:
            step()
        with Products() as products:
            step()
        taken, alone = (median(side) for side in in_turn(step, products.repeat, rounds=rounds))
        flops = count.with_gradient + count.without_gradient
        yield Row(
            name=f"share of the products in a step, {size}, fp32",
            against="the step",
            figure=alone / taken,
            unit="of it",
            at_least=AT_LEAST[size],
            detail=f"{flops / taken / 1e9:.0f} GFLOP/s, its products alone {flops / alone / 1e9:.0f},"
            f" a product of 2048 x 2048 matrices {_large_rates(rounds)}",
        )


def _large_rates(rounds: int) -> str:
    """Return the rate of a large product by each library."""
    a, b = torch.randn(2, 2048, 2048)
    products = {"torch.mm": torch.mm, **({"oneDNN": linear} if ONEDNN else {})}
    seconds = in_turn(*(partial(product, a, b) for product in products.values()), rounds=rounds)
    return ", ".join(
        f"{name} {2 * 2048**3 / median(side) / 1e9:.0f}" for name, side in zip(products, seconds, strict=True)
    )


def average() -> Iterator[Row]:
    """Compare our EMA update with a loop over parameters.

    The weights of the small network exceed the cache, so that memory limits it: the loop reads or writes them five
    times, our update three times. Ours is then at most 5/3 as fast. The detail also shows the time of a copy.
    """
    for size in ROUNDS:
        net = pipeline(size).backbone
        ours, other, third = (EMA(net) for _ in range(3))
        sides = partial(ours.update, 0.9995), partial(_loop, other.net, net), partial(_copy, third.net, net)
        mine, theirs, copies = in_turn(*sides, rounds=50)
        yield Row(
            name=f"EMA update, {size}",
            against="a loop over parameters",
            figure=median(b / a for a, b in zip(mine, theirs, strict=True)),
            at_least=1.5,
            detail=f"{median(mine) * 1e3:.2f} ms against {median(theirs) * 1e3:.2f} ms,"
            f" a copy of the weights {median(copies) * 1e3:.2f} ms",
        )


@torch.no_grad()
def _loop(mean: nn.Module, net: nn.Module) -> None:
    for average, parameter in zip(mean.parameters(), net.parameters(), strict=True):
        average.mul_(0.9995).add_(parameter, alpha=1 - 0.9995)


@torch.no_grad()
def _copy(mean: nn.Module, net: nn.Module) -> None:
    torch._foreach_copy_(list(mean.parameters()), list(net.parameters()))


def meanflow() -> Iterator[Row]:
    """Compare a MeanFlow step with the same network under `torch.func.jvp`."""
    given = batch()
    ours, other, with_our_products = (_jumping() for _ in range(3))
    for module in list(other.pipeline.backbone.modules()):
        if isinstance(module, Linear):
            module.__class__ = nn.Linear
    steps = partial(ours._one_step, given), *(_by_jvp(side, given) for side in (other, with_our_products))
    mine, theirs, mixed = in_turn(*steps, rounds=11)
    yield Row(
        name="MeanFlow step, exact, tiny",
        against="torch.func.jvp with the MATH kernel",
        figure=median(b / a for a, b in zip(mine, theirs, strict=True)),
        at_least=_bound(MEANFLOW),
        detail=f"{median(mine) * 1e3:.1f} ms against {median(theirs) * 1e3:.1f} ms,"
        f" of which our products alone would leave {median(mixed) * 1e3:.1f} ms",
    )


def _jumping() -> Run:
    """Return a MeanFlow run with an interval in every step."""
    objective = {"name": "meanflow", "shift": 1.0, "probability": 1.0}
    return run(pipeline("tiny", method="meanflow", objective=objective, train=settings()))


def _by_jvp(side: Run, given: Batch) -> Callable[[], None]:
    """Return its step with u and du/dt from one call of `torch.func.jvp`, with explicit attention."""
    side.pipeline.objective._derivative = jvp  # type: ignore[attr-defined]
    for block in side.pipeline.backbone.encoder.blocks:  # type: ignore[attr-defined]
        block.attention.kernel = fused_attention

    def step() -> None:
        with sdpa_kernel(SDPBackend.MATH):
            side._one_step(given)

    return step


def jvp(u_fn: AverageVelocityFn, at: JVPInputs) -> JVPOutput:
    """Compute u, with gradient, and du/dt in one forward-mode pass, as the published MeanFlow code does."""
    predictions: list[Prediction] = []

    def value(z: Tensor, t: Tensor) -> Tensor:
        predictions.append(u_fn(z, t))
        return predictions[-1].value.latent

    u, du_dt = torch.func.jvp(value, (at.z, at.t), (at.v, torch.ones_like(at.t)))
    prediction = predictions[-1]
    return JVPOutput(prediction._replace(value=prediction.value._replace(latent=u)), du_dt.detach())


def draws() -> Iterator[Row]:
    """Measure the cost of noise with one random key per sample, relative to a small training step."""
    rng = KeyedRNG(0, range(64), step=1)
    ours = run(pipeline("tiny", train=settings()))
    noise, step = in_turn(partial(rng.normal, "noise", (8, 8, 8)), partial(ours._one_step, batch()), rounds=11)
    yield Row(
        name="noise keyed by slot",
        against="a tiny step",
        figure=median(noise) / median(step),
        unit="of it",
        at_most=0.05,
        detail=f"{median(noise) * 1e3:.2f} ms",
    )
