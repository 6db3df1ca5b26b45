"""Memory of statistics over many images: `python -m benchmarks.evaluation_memory [--counts 500,2000]`.

Writes PNG files of 256 px into a temporary folder, and evaluates them with the code of `nanogen evaluate`, in a new
process for each count. The metric keeps the moments of 2048 features of a frozen random convolution, which replaces
Inception. Prints the peak resident set size of each count, the slope in bytes per image, and the extrapolation to
50,000 images.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

SIZE, WIDTH, MANY = 256, 2048, 50_000
DISTINCT = 50  # distinct images; the others are hard links


class Moments:
    """Metric that keeps the moments of 2048 random features, like a Fréchet distance."""

    higher_is_better = False
    settings: Mapping[str, object] = {"features": "random convolution", "width": WIDTH}

    def __init__(self) -> None:
        from nanogen_fidelity.distances.moments import RunningMoments

        generator = torch.Generator().manual_seed(0)
        self._kernel = torch.randn(WIDTH, 3, 16, 16, generator=generator)
        self._moments = RunningMoments()

    def reset(self) -> None:
        """Do nothing, since the metric is used once."""

    def update(self, images: Tensor, batch: object) -> None:
        """Add images [B, 3, 256, 256] with 2048 features each."""
        features = torch.nn.functional.conv2d(images, self._kernel, stride=64)  # [B, 2048, 4, 4]
        self._moments.add(batch.indices, features.relu().mean(dim=(2, 3)))  # type: ignore[attr-defined]

    def compute(self) -> Mapping[str, float]:
        """Return the trace of the covariance."""
        return {"trace": float(self._moments.moments().covariance.trace())}

    def state(self) -> Mapping[str, Tensor]:
        """Return the moments, like the metrics of Fréchet distances."""
        return self._moments.state()

    def merge(self, state: Mapping[str, Tensor]) -> None:
        """Add the moments of another process."""
        self._moments.merge(state)


def make(folder: Path, count: int) -> None:
    """Write `count` PNG files of noise, which hardly compresses."""
    generator = np.random.default_rng(0)
    for number in range(count):
        file = folder / f"{number:06d}.png"
        if number < DISTINCT:
            Image.fromarray(generator.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)).save(file, compress_level=1)
        else:
            file.hardlink_to(folder / f"{number % DISTINCT:06d}.png")


def peak(folder: Path) -> int:
    """Evaluate the folder and return the peak resident set size of this process in bytes."""
    from nanogen_eval.cli.progress import progress_reporter
    from nanogen_eval.evaluate import Evaluation
    from nanogen_eval.sources.folder import Folder
    from nanogen_eval.targets import Images

    with progress_reporter() as report, tempfile.TemporaryDirectory() as output:
        Evaluation(metrics={"moments": Moments()}, folder=Path(output), report=report).scores(Images(Folder(folder)))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measured(count: int) -> int:
    """Return the peak of a new process that evaluates `count` images."""
    with tempfile.TemporaryDirectory() as name:
        make(Path(name), count)
        command = [sys.executable, "-m", "benchmarks.evaluation_memory", "--folder", name]
        return int(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def main() -> None:
    """Print the results as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", default="500,2000")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.folder:
        print(peak(given.folder))
        return
    few, many = map(int, given.counts.split(","))
    peaks = {few: measured(few), many: measured(many)}
    slope = (peaks[many] - peaks[few]) / (many - few)
    found = {
        **{f"peak_mb_at_{count}": round(value / 1e6) for count, value in peaks.items()},
        "bytes_per_image": round(slope),
        f"peak_mb_at_{MANY}": round((peaks[many] + slope * (MANY - many)) / 1e6),
    }
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
