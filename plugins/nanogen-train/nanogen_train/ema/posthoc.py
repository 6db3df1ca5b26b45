"""Post-hoc EMA: weights of any width, computed from a run's snapshots (EDM2, arXiv 2312.02696, section 3)."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from nanogen_core.config import CONFIG
from nanogen_core.errors import ConfigError, DataError
from nanogen_core.pipeline import FACTS, LEARNING, WEIGHTS
from nanogen_files import storage
from nanogen_files.errors import counted
from nanogen_train.ema import snapshots
from nanogen_train.ema.power_function import MAX_ERROR, Basis, Fit, Profile, gamma_of
from nanogen_train.ema.snapshots import Snapshot
from nanogen_train.stages.diffusion_settings import WIDEST

AVERAGED = WEIGHTS.format("backbone")


class PosthocEMA(NamedTuple):
    """A saved pipeline with EMA weights that were computed from snapshots.

    `snapshots` is the number of snapshots. `error` is the relative L2 error of the EMA's profile.
    """

    width: float
    step: int
    snapshots: int
    error: float
    folder: Path


def reconstruct(run: Path, widths: Sequence[float], step: int | None = None) -> list[PosthocEMA]:
    """Save a pipeline for each width, with EMA weights of this width.

    The folder of a pipeline is `RUN/ema-WIDTH`, or `RUN/ema-WIDTH-step-STEP` if a step is given.

    Args:
        run: Folder of the run.
        widths: Widths (sigma_rel).
        step: Step up to which weights are averaged; by default the step of the newest snapshot.

    Raises:
        ConfigError: A width is out of range, or the snapshots cannot reach it.
        DataError: Snapshots or the run's pipeline are missing or corrupt. Nothing is written.
    """
    chosen, is_newest = _select_snapshots(run, step), step is None
    step = chosen[-1].step
    basis = Basis([Profile(snapshot.step, gamma_of(snapshot.width)) for snapshot in chosen])
    fits = {width: _fit(basis, width, step, run) for width in widths}
    base = storage.read_tensors(run / AVERAGED)
    results = []
    for width, fit in fits.items():
        folder = run / (f"ema-{width_text(width)}" if is_newest else f"ema-{width_text(width)}-step-{step:08d}")
        _save(run, folder, {**base, **_weighted_sum(run, chosen, fit, base)})
        results.append(PosthocEMA(width, step, len(chosen), fit.error, folder))
    return results


def width_text(width: float) -> str:
    """Format a width with three decimals, or with all decimals if three would round it."""
    short = f"{width:.3f}"
    return short if float(short) == width else repr(width)


def _select_snapshots(run: Path, step: int | None) -> list[Snapshot]:
    """Return the snapshots up to this step. Raises DataError if there is none at the step."""
    available = snapshots.snapshots_in(run)
    if not available:
        raise DataError(
            f"There are no snapshots in {run / snapshots.FOLDER}: train a run with"
            " `stage: {ema_snapshots: {sigma_rel: [0.05, 0.10], every: 5000}}` first."
        )
    steps = sorted({snapshot.step for snapshot in available})
    if step is not None and step not in steps:
        near = sorted(sorted(steps, key=lambda other: abs(other - step))[:3])
        raise DataError(
            f"{run} has no snapshot of step {step}. It has snapshots of"
            f" {counted(len(steps), 'step')}. Nearest: {', '.join(map(str, near))}."
        )
    return [snapshot for snapshot in available if step is None or snapshot.step <= step]


def _fit(basis: Basis, width: float, step: int, run: Path) -> Fit:
    if not 0 < width <= WIDEST:
        raise ConfigError(f"sigma_rel must be above 0 and at most {WIDEST:.5f}, got {width!r}.")
    fit = basis.fit(Profile(step, gamma_of(width)))
    if fit.error > MAX_ERROR:
        reachable = basis.reachable(step)
        advice = "a sigma_rel from {:.3f} to {:.3f}".format(*reachable) if reachable else "a run with more snapshots"
        raise ConfigError(
            f"The EMA of sigma_rel {width_text(width)} cannot be computed from"
            f" {counted(len(basis.profiles), 'snapshot')} in {run} up to step {step}: its error would be"
            f" {fit.error:.0%}, above the limit of {MAX_ERROR:.0%}. Use {advice}."
        )
    return fit


def _weighted_sum(run: Path, chosen: Sequence[Snapshot], fit: Fit, base: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weighted sum of the snapshots, accumulated in float64 and cast to the dtypes of the run's weights."""
    total: dict[str, Tensor] = {}
    for snapshot, coefficient in zip(chosen, fit.coefficients.tolist(), strict=True):
        path = snapshot.path(run)
        parameters = storage.read_tensors(path)
        _check_match(path, parameters, total or base, run, complete=bool(total))
        for name, tensor in parameters.items():
            total.setdefault(name, torch.zeros_like(tensor, dtype=torch.float64)).add_(tensor, alpha=coefficient)
    return {name: tensor.to(base[name].dtype) for name, tensor in total.items()}


def _check_match(
    path: Path, tensors: Mapping[str, Tensor], known: Mapping[str, Tensor], run: Path, *, complete: bool
) -> None:
    """Raise DataError if a snapshot's names or shapes differ. Buffers are not averaged and may be missing."""
    wrong = [name for name, tensor in tensors.items() if name not in known or known[name].shape != tensor.shape]
    wrong += [name for name in known if complete and name not in tensors]
    if wrong:
        raise DataError(
            f"{path} does not match the weights of {run}. The first difference is {wrong[0]!r}. Check that"
            " the snapshot is from this run."
        )


def _save(run: Path, folder: Path, averaged: Mapping[str, Tensor]) -> None:
    """Save the run's pipeline with EMA weights."""
    with storage.whole_folder(folder) as temporary:
        for name in (CONFIG, FACTS, *(WEIGHTS.format(part) for part in LEARNING)):
            if (run / name).is_file() and name != AVERAGED:
                shutil.copy(run / name, temporary / name)
        storage.write_tensors(temporary / AVERAGED, averaged)
