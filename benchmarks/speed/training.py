"""A training step: against the plain loop, in bf16, against the machine's own products; EMA; MeanFlow's derivative."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from statistics import median

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks.speed.parts import batch, pipeline, plain_loop, run, settings
from benchmarks.speed.timing import Row, in_turn, ratio
from nanogen_core.randomness import Draws
from nanogen_core.training.ema import Average
from nanogen_core.training.flops import FlopCount
from nanogen_core.training.loop import Run
from nanogen_dit import attention

ROUNDS = {"tiny": 15, "small": 5}
AT_LEAST = {"tiny": 0.6, "small": 0.8}  # of the machine's own rate


def steps() -> Iterator[Row]:
    """Our step in eager float32 and compiled, against the plain loop."""
    for size, rounds in ROUNDS.items():
        for compiled, bound in ((False, 1.15), (True, 1.3)):
            given = batch()
            ours = run(pipeline(size, train=settings(compile=compiled)))
            other = plain_loop(ours.pipeline, given)
            figure, detail = ratio(partial(ours._one_step, given), other, rounds=rounds, warm_up=3)
            yield Row(
                name=f"training step, {size}, fp32{', compiled' if compiled else ''}",
                against="a plain eager loop",
                figure=figure,
                at_least=bound,
                detail=detail,
            )


def bf16() -> Iterator[Row]:
    """Our step in bf16 against our own in float32."""
    for size, rounds in ROUNDS.items():
        given = batch()
        half, full = (run(pipeline(size, train=settings(precision=p))) for p in ("bf16", "fp32"))
        figure, detail = ratio(partial(half._one_step, given), partial(full._one_step, given), rounds=rounds)
        yield Row(
            name=f"training step, {size}, bf16", against="our own fp32", figure=figure, at_least=1.3, detail=detail
        )


def efficiency() -> Iterator[Row]:
    """Products of a float32 step each second, as a share of what this machine does in one large product."""
    a, b = torch.randn(2, 2048, 2048)
    product = partial(torch.mm, a, b)
    for size, rounds in ROUNDS.items():
        ours, given = run(pipeline(size, train=settings())), batch()
        with FlopCount() as count:
            ours._one_step(given)
        step = partial(ours._one_step, given)
        taken, machine = (median(side) for side in in_turn(step, product, rounds=rounds))
        rates = [(count.with_gradient + count.without_gradient) / taken, 2 * 2048**3 / machine]
        yield Row(
            name=f"matmul efficiency, {size}, fp32",
            against="a product of 2048 x 2048 matrices",
            figure=rates[0] / rates[1],
            unit="of it",
            at_least=AT_LEAST[size],
            detail=f"{rates[0] / 1e9:.0f} of {rates[1] / 1e9:.0f} GFLOP/s",
        )


def average() -> Iterator[Row]:
    """The update of the averaged weights."""
    for size in ROUNDS:
        net = pipeline(size).backbone
        ours, other = Average(net), Average(net).net

        def loop(mean: torch.nn.Module = other, net: torch.nn.Module = net) -> None:
            with torch.no_grad():
                for average, parameter in zip(mean.parameters(), net.parameters(), strict=True):
                    average.mul_(0.9995).add_(parameter, alpha=1 - 0.9995)

        figure, detail = ratio(partial(ours.update, 0.9995), loop, rounds=50)
        yield Row(name=f"EMA update, {size}", against="a loop", figure=figure, at_least=1.5, detail=detail)


def meanflow() -> Iterator[Row]:
    """A step with intervals: two backward passes against dual numbers through torch's own attention."""
    given = batch()
    ours, other = (
        run(pipeline("tiny", method="meanflow", objective=_jumps(route), train=settings()))
        for route in ("exact", "forward")
    )
    for block in other.pipeline.backbone.encoder.blocks:
        block.attention.kernel = attention.fused
    figure, detail = ratio(partial(ours._one_step, given), _math(other, given), rounds=11)
    yield Row(
        name="MeanFlow step, exact, tiny",
        against="torch.func.jvp with the MATH kernel",
        figure=figure,
        at_least=1.3,
        detail=detail,
    )


def _jumps(route: str) -> dict[str, object]:
    return {"name": "meanflow", "shift": 1.0, "probability": 1.0, "derivative": route}


def _math(side: Run, given: object) -> Callable[[], None]:
    def step() -> None:
        with sdpa_kernel(SDPBackend.MATH):
            side._one_step(given)  # type: ignore[arg-type]

    return step


def draws() -> Iterator[Row]:
    """What it costs that a sample's noise is keyed by its slot: the share of a tiny step."""
    rng = Draws(0, range(64), step=1)
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
