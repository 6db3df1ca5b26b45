"""The command `python -m benchmarks.gpu`. `benchmarks/gpu.sh` runs it after the tests."""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import click
import torch

from benchmarks.gpu import attention
from benchmarks.gpu.goals import RATE, goals
from benchmarks.gpu.models import MODELS, SMALL, Model, batch_of, batches_of, plain_of, run_of
from nanogen_files import storage
from nanogen_train.logging.flops import FlopCount

PRODUCT = 8192  # side of the matrices that tell the machine's own rate
WARM_UP = 3


@click.command()
@click.option("--small", is_flag=True, help="A tiny network on any device: to try the script.")
@click.option("--steps", type=click.IntRange(min=1), default=20, show_default=True)
@click.option("--output", type=click.Path(path_type=Path), default=Path("runs/gpu/results.json"), show_default=True)
def main(small: bool, steps: int, output: Path) -> None:
    """Measure each program, and write all results as JSON after each of them."""
    if not small and not torch.cuda.is_available():
        raise SystemExit("There is no CUDA device: run this on a machine with one, or try it with --small.")
    torch.set_float32_matmul_precision("high")
    rate = _rate(256 if small else PRODUCT)
    result: dict[str, Any] = {"machine": _machine(), "product_tflops": rate / 1e12, "rows": [], "goals": []}
    shape, device = (attention.SMALL, "cpu") if small else (attention.Shape(), "cuda")
    measure = partial(_programs, SMALL if small else MODELS, steps, rate)
    kernels = attention.rows(shape, device, _timed)
    # compilation takes most of the time, so it comes last
    for row in chain(measure(compiled=False), kernels, measure(compiled=True)):
        result["rows"].append(row)
        result["goals"] = goals(result["rows"])
        storage.write_json(output, result)
        click.echo(json.dumps(row))
    click.echo(f"Figures: {output}.")


def _programs(models: Iterable[Model], steps: int, rate: float, *, compiled: bool) -> Iterator[dict[str, Any]]:
    """Yield a row for each program in bf16: our loop for all models, then the plain loop for those that it has."""
    kind = "compiled" if compiled else "eager"
    chosen = [model for model in models if (model.compile if compiled else model.eager)]
    for model in chosen:
        yield _row(model, f"ours, {kind}", partial(_ours, model, compiled, steps, rate))
    for model in chosen:
        if model.plain:
            yield _row(model, f"plain loop, {kind}", partial(_plain, model, compiled, steps))


def _row(model: Model, side: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return the figures of a program, or its error: too little memory, a missing extra, a failed compilation."""
    try:
        return {"model": model.name, "side": side, **measure()}
    except Exception as error:
        return {"model": model.name, "side": side, "error": f"{type(error).__name__}: {error}"[:300]}


def _ours(model: Model, compiled: bool, steps: int, rate: float) -> dict[str, Any]:
    _free()
    run = run_of(model, compiled=compiled, precision="bf16")
    batches = batches_of(model, run)

    def step() -> None:
        run._one_step(next(batches))

    with FlopCount() as count, torch.compiler.set_stance("force_eager"):
        step()
    flops = count.with_gradient + count.without_gradient
    figures = _measured(model, step, steps)
    share = flops * figures[RATE] / model.batch_size / rate
    return {**figures, "flops_per_step": flops, "utilisation": share}


def _plain(model: Model, compiled: bool, steps: int) -> dict[str, Any]:
    _free()
    run = run_of(model, compiled=False, precision="fp32")
    loop = plain_of(run, batch_of(model, run), bf16=True, compiled=compiled)
    del run
    return _measured(model, loop, steps)


def _kernels(step: Callable[[], object]) -> list[dict[str, Any]]:
    """Return the ten slowest kernels of one step, in milliseconds."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        step()
        _wait()
    events = sorted(profile.key_averages(), key=lambda event: -event.self_device_time_total)
    return [{"kernel": e.key[:120], "ms": e.self_device_time_total / 1000, "calls": e.count} for e in events[:10]]


def _free() -> None:
    """Forget the memory and the compiled code of earlier models.

    torch.compile would otherwise take a size that differs between two models for a symbol, which is slower.
    """
    torch._dynamo.reset()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _measured(model: Model, step: Callable[[], object], steps: int) -> dict[str, Any]:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    for _ in range(WARM_UP):
        step()
    seconds = _timed(step, steps)
    kernels = {"kernels": _kernels(step)} if torch.cuda.is_available() else {}
    return {
        "images": model.batch_size,
        RATE: model.batch_size * steps / seconds,
        "peak_gib": torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else None,
        **kernels,
    }


def _timed(work: Callable[[], object], times: int) -> float:
    _wait()
    start = time.perf_counter()
    for _ in range(times):
        work()
    _wait()
    return time.perf_counter() - start


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _rate(side: int) -> float:
    """Return the FLOPs per second of one large bf16 product, as the reachable peak."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    a, b = torch.randn(2, side, side, device=device, dtype=torch.bfloat16)
    torch.mm(a, b)
    times = 20
    return 2 * side**3 * times / _timed(lambda: torch.mm(a, b), times)


def _machine() -> dict[str, Any]:
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    return {"device": device, "torch": torch.__version__, "cuda": torch.version.cuda}


if __name__ == "__main__":
    main()
