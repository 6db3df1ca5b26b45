"""Averages of any width, made after training of the snapshots that a run kept (EDM2, arXiv 2312.02696, section 3)."""

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
from nanogen_train.ema import snapshots
from nanogen_train.ema.power_function import SENSIBLE, Basis, Fit, Profile, gamma_of
from nanogen_train.ema.snapshots import Snapshot
from nanogen_train.stages.diffusion_settings import WIDEST

AVERAGED = WEIGHTS.format("backbone")


class Made(NamedTuple):
    """The pipeline of one width; `error` is the relative L2 error of its profile."""

    width: float
    step: int
    snapshots: int
    error: float
    folder: Path


def reconstruct(run: Path, widths: Sequence[float], step: int | None = None) -> list[Made]:
    """Writes a saved pipeline into `RUN/ema-WIDTH` for the average of each width after `step` steps, by default as many
    as the newest snapshot has.

    Raises ConfigError for a width that the snapshots cannot reach, and DataError where snapshots or the run's own
    pipeline are missing or damaged, before anything is written.
    """
    chosen, last = _chosen(run, step), step is None
    step = chosen[-1].step
    basis = Basis([Profile(snapshot.step, gamma_of(snapshot.width)) for snapshot in chosen])
    fits = {width: _sensible(basis, width, step, run) for width in widths}
    own = storage.read_tensors(run / AVERAGED)
    made = []
    for width, fit in fits.items():
        folder = run / (f"ema-{written(width)}" if last else f"ema-{written(width)}-step-{step:08d}")
        _save(run, folder, {**own, **_sum(run, chosen, fit, own)})
        made.append(Made(width, step, len(chosen), fit.error, folder))
    return made


def written(width: float) -> str:
    """`"0.050"`, or all digits where three do not say it."""
    short = f"{width:.3f}"
    return short if float(short) == width else repr(width)


def _chosen(run: Path, step: int | None) -> list[Snapshot]:
    """The snapshots up to this step, of which the last must be."""
    found = snapshots.kept(run)
    if not found:
        raise DataError(
            f"There are no snapshots in {run / snapshots.FOLDER}: averages can be made of a run that was trained with"
            " `stage: {ema_snapshots: {sigma_rel: [0.05, 0.10], every: 5000}}`."
        )
    steps = sorted({snapshot.step for snapshot in found})
    if step is not None and step not in steps:
        near = sorted(sorted(steps, key=lambda other: abs(other - step))[:3])
        raise DataError(
            f"{run} has no snapshot of step {step}; of {len(steps)}, the nearest are of {', '.join(map(str, near))}."
        )
    return [snapshot for snapshot in found if step is None or snapshot.step <= step]


def _sensible(basis: Basis, width: float, step: int, run: Path) -> Fit:
    if not 0 < width <= WIDEST:
        raise ConfigError(f"sigma_rel is the width of an average, above 0 and up to {WIDEST:.5f}, not {width!r}.")
    fit = basis.fit(Profile(step, gamma_of(width)))
    if fit.error > SENSIBLE:
        reachable = basis.reachable(step)
        what = "reach from {:.3f} to {:.3f}".format(*reachable) if reachable else "reach no width"
        raise ConfigError(
            f"sigma_rel {written(width)} cannot be made of the {len(basis.profiles)} snapshots in {run} up to step"
            f" {step}: its profile would be {fit.error:.0%} off. They {what} (at most {SENSIBLE:.0%} off)."
        )
    return fit


def _sum(run: Path, chosen: Sequence[Snapshot], fit: Fit, own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weighted sum of the snapshots, added up in float64, in the dtypes of the run's own weights."""
    total: dict[str, Tensor] = {}
    for snapshot, coefficient in zip(chosen, fit.coefficients.tolist(), strict=True):
        path = snapshot.path(run)
        parameters = storage.read_tensors(path)
        _must_match(path, parameters, total or own, run, all_of_them=bool(total))
        for name, tensor in parameters.items():
            total.setdefault(name, torch.zeros_like(tensor, dtype=torch.float64)).add_(tensor, alpha=coefficient)
    return {name: tensor.to(own[name].dtype) for name, tensor in total.items()}


def _must_match(
    path: Path, tensors: Mapping[str, Tensor], known: Mapping[str, Tensor], run: Path, *, all_of_them: bool
) -> None:
    """Buffers are not averaged: the run has them beside its parameters."""
    wrong = [name for name, tensor in tensors.items() if name not in known or known[name].shape != tensor.shape]
    wrong += [name for name in known if all_of_them and name not in tensors]
    if wrong:
        raise DataError(f"{path} does not fit the weights of {run} ({wrong[0]!r}): it is of another configuration.")


def _save(run: Path, folder: Path, averaged: Mapping[str, Tensor]) -> None:
    """The run's saved pipeline with other weights."""
    with storage.whole_folder(folder) as temporary:
        for name in (CONFIG, FACTS, *(WEIGHTS.format(part) for part in LEARNING)):
            if (run / name).is_file() and name != AVERAGED:
                shutil.copy(run / name, temporary / name)
        storage.write_tensors(temporary / AVERAGED, averaged)
