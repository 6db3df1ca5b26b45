"""Fréchet distance in 2048 dimensions: speed and precision of this library and of torchmetrics.

Run `python benchmarks/frechet.py` on an idle machine; `--width 512` is quicker. Both libraries run in turn in one
process. The spectra of the covariances span six decades, like those of the FID network. Singular covariances have fewer
examples than dimensions; their exact distance is computed from the data.
"""

import argparse
import json
import math
import platform
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torchmetrics.image.fid import _compute_fid

from nanogen_fidelity.distances.frechet import Moments, frechet_distance, moments


def drawn(count: int, width: int, seed: int) -> Tensor:
    """Draw features [count, width] float64 with a decreasing spectrum and a random mean."""
    generator = torch.Generator().manual_seed(seed)
    scales = torch.logspace(0, -3, width, dtype=torch.float64)
    mixing = torch.randn(width, width, generator=generator, dtype=torch.float64) / math.sqrt(width)
    rows = torch.randn(count, width, generator=generator, dtype=torch.float64)
    return (rows * scales) @ mixing + 0.01 * seed


def exact(x: Tensor, y: Tensor) -> float:
    """Compute the distance without covariances, by the nuclear norm of the product [n, m] of the centred data."""
    a, b = x - x.mean(dim=0), y - y.mean(dim=0)
    spread = a.square().sum() / (len(x) - 1) + b.square().sum() / (len(y) - 1)
    mixed = torch.linalg.svdvals(a @ b.T).sum() / math.sqrt((len(x) - 1) * (len(y) - 1))
    return float((x.mean(dim=0) - y.mean(dim=0)).square().sum() + spread - 2 * mixed)


def timed(call: Callable[[], float], taken: list[float]) -> float:
    start = time.perf_counter()
    value = call()
    taken.append(time.perf_counter() - start)
    return value


def compare(a: Moments, b: Moments, rounds: int) -> dict[str, float]:
    """Return the median seconds of both libraries, their distances and the relative difference."""
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(rounds):
        mine = timed(lambda: frechet_distance(a, b), ours)
        other = timed(lambda: float(_compute_fid(a.mean, a.covariance, b.mean, b.covariance)), theirs)
    seconds = statistics.median(ours), statistics.median(theirs)
    return {
        "nanogen_seconds": round(seconds[0], 3),
        "torchmetrics_seconds": round(seconds[1], 3),
        "times_faster": round(seconds[1] / seconds[0], 1),
        "nanogen": mine,
        "torchmetrics": other,
        "relative_difference": abs(mine - other) / other,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=2048, help="dimensions")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each library")
    chosen = parser.parse_args()
    width = chosen.width
    full = [drawn(3 * width, width, seed) for seed in (1, 2)]
    few = [drawn(width // 4, width, seed) for seed in (1, 2)]
    of_few = compare(moments(few[0]), moments(few[1]), chosen.rounds)
    truth = exact(*few)
    report = {
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}",
        "dimensions": width,
        "full_rank": compare(moments(full[0]), moments(full[1]), chosen.rounds),
        "singular": {
            **of_few,
            "exact": truth,
            "nanogen_error": abs(of_few["nanogen"] - truth) / truth,
            "torchmetrics_error": abs(of_few["torchmetrics"] - truth) / truth,
        },
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
