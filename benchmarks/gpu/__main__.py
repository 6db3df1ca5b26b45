"""The command `python -m benchmarks.gpu`. `benchmarks/gpu.sh` runs it after the tests."""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import click
import torch

from benchmarks.gpu import attention
from benchmarks.gpu.goals import RATE, goals
from benchmarks.gpu.models import MODELS, SMALL, Model, batches_of, run_of
from benchmarks.gpu.plain import plain_loop
from nanogen_files import storage
from nanogen_train.logging.flops import FlopCount

PRODUCT = 8192  # side of the matrices that tell the machine's own rate
WARM_UP = 3


@click.command()
@click.option("--small", is_flag=True, help="A tiny network on any device: to try the script.")
@click.option("--steps", type=click.IntRange(min=1), default=10, show_default=True)
@click.option("--resume", is_flag=True, help="Keep the rows of the output file, and measure the others.")
@click.option("--output", type=click.Path(path_type=Path), default=Path("runs/gpu/results.json"), show_default=True)
def main(small: bool, steps: int, resume: bool, output: Path) -> None:
    """Measure each program, and write all results as JSON after each of them."""
    if not small and not torch.cuda.is_available():
        raise SystemExit("There is no CUDA device: run this on a machine with one, or try it with --small.")
    torch.set_float32_matmul_precision("high")
    rate = _rate(256 if small else PRODUCT)
    rows = _kept(output) if resume else []
    result: dict[str, Any] = {"machine": _machine(), "product_tflops": rate / 1e12, "rows": rows, "goals": goals(rows)}
    shape, device = (attention.SMALL, "cpu") if small else (attention.Shape(), "cuda")
    measure = partial(_programs, SMALL if small else MODELS, steps, rate, {_name(row) for row in rows})
    kernels = () if any("attention" in row for row in rows) else attention.rows(shape, device, _timed)
    # compilation takes most of the time, so it comes last, and both programs of a model in turn
    for row in chain(measure(compiled=False), kernels, measure(compiled=True)):
        result["rows"].append(row)
        result["goals"] = goals(result["rows"])
        storage.write_json(output, result)
        click.echo(json.dumps(row))
    click.echo(f"Figures: {output}.")


def _kept(output: Path) -> list[dict[str, Any]]:
    """Return the rows without an error of an earlier run on this machine."""
    if not output.exists():
        return []
    earlier = json.loads(output.read_text())
    if earlier["machine"] != _machine():
        raise SystemExit(f"{output} is from {earlier['machine']}, not {_machine()}: give another --output.")
    return [row for row in earlier["rows"] if "error" not in row]


def _name(row: Mapping[str, Any]) -> tuple[Any, Any]:
    return row.get("model"), row.get("side")


def _programs(
    models: Iterable[Model], steps: int, rate: float, done: Collection[tuple[Any, Any]] = (), *, compiled: bool
) -> Iterator[dict[str, Any]]:
    """Yield a row for each program in bf16 that is not `done`: our loop, then the plain loop if the model has one."""
    kind = "compiled" if compiled else "eager"
    for model in models:
        if not (model.compile if compiled else model.eager):
            continue
        programs = {f"ours, {kind}": partial(_ours, model, compiled, steps, rate)}
        if model.plain:
            programs[f"plain loop, {kind}"] = partial(_plain, model, compiled, steps)
        for side, measure in programs.items():
            if (model.name, side) not in done:
                yield _row(model, side, measure)


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
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return _measured(model, plain_loop(model, device, bf16=True, compiled=compiled), steps)


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
