"""Runners of the published evaluation cases of image fidelity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from nanogen_align.vgg import directions
from nanogen_fidelity.distances import inception_score as scores
from nanogen_fidelity.distances.frechet import Moments, frechet_distance
from nanogen_fidelity.distances.mind import PROJECTIONS, SEED, mind
from nanogen_fidelity.distances.moments import RunningMoments
from nanogen_fidelity.distances.neighbours import density_coverage, precision_recall
from nanogen_fidelity.distances.psnr_ssim import psnr, published_unit_range, ssim
from nanogen_fidelity.resizing import tf1_bilinear
from nanogen_fidelity.spaces import relative
from nanogen_files.images import resized, unit_to_uint8
from tests.evaluation_cases import Runners, pictures

RUNNERS = Runners()
Given = Mapping[str, Any]


def _rows(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def _plane(values: Any) -> Tensor:
    """Nested lists [H, W], [C, H, W] or [B, C, H, W] -> float32 [B, C, H, W]."""
    image = torch.tensor(values, dtype=torch.float32)
    return image.reshape(*[1] * (4 - image.ndim), *image.shape)


def _size(given: Given) -> tuple[int, int]:
    size = given["size"]
    return (size, size) if isinstance(size, int) else (size[0], size[1])


# -- distances between sets --------------------------------------------------------------------------------------------


@RUNNERS.add("frechet", "mu1", "sigma1", "mu2", "sigma2")
def _of_moments(given: Given) -> float:
    first, second = (Moments(_rows(given[f"mu{n}"]), _rows(given[f"sigma{n}"])) for n in (1, 2))
    return frechet_distance(first, second)


@RUNNERS.add("frechet", "gen", "ref")
def _of_features(given: Given) -> Given:
    ours, theirs = (_moments(_rows(given[name])) for name in ("gen", "ref"))
    return {"mu_gen": ours.mean, "sigma_gen": ours.covariance, "fd": frechet_distance(ours, theirs)}


def _moments(rows: Tensor) -> Moments:
    running = RunningMoments()
    for part in torch.arange(len(rows)).split(4):
        running.add(part, rows[part])
    return running.moments()


@RUNNERS.add("fdr6", "order", "norm_const", "fd")
def _fdr6(given: Given) -> Given:
    order = given["order"]
    norms, distances = (
        {space: float("nan") if value is None else value for space, value in zip(order, given[key], strict=False)}
        for key in ("norm_const", "fd")
    )
    found = relative(distances, norms)
    ratios = {"fdr": [found[f"fdr_{space}"] for space in distances]}
    return {**ratios, "fdr6": found["fdr6"]} if "fdr6" in found else ratios


@RUNNERS.add("mind", "gen", "ref")
def _mind(given: Given) -> float:
    options = {"projections": given.get("num_projections", PROJECTIONS), "seed": given.get("rng_seed", SEED)}
    return mind(_rows(given["gen"]), _rows(given["ref"]), **options)


@RUNNERS.add("precision_recall", "real", "gen")
def _precision_recall(given: Given) -> Given:
    generated, real, k = _rows(given["gen"]), _rows(given["real"]), given.get("k", 3)
    precision, recall = precision_recall(generated, real, k=k)
    density, coverage = density_coverage(generated, real, k=k)
    return {"precision": precision, "recall": recall, "density": density, "coverage": coverage}


# -- Inception scores --------------------------------------------------------------------------------------------------


@RUNNERS.add("inception_score", "logits")
def _diffusionbench_score(given: Given) -> float:
    return scores.diffusionbench_inception_score(_rows(given["logits"]), splits=given.get("splits", 10))


@RUNNERS.add("inception_score_tf", "logits")
def _fidelity_score(given: Given) -> Given:
    options = {"splits": given.get("splits", 10), "seed": given.get("rng_seed", 2020)}
    mean, deviation = scores.fidelity_inception_score(_rows(given["logits"]), **options)
    return {"mean": mean, "std": deviation}


@RUNNERS.add("inception_score_adm", "logits")
def _adm_score(given: Given) -> float:
    return scores.adm_inception_score(_rows(given["logits"]), split_size=given.get("split_size", 5000))


# -- images ------------------------------------------------------------------------------------------------------------


@RUNNERS.add("inception_preproc", "image", "size")
def _inception_resize(given: Given) -> Any:
    return _like_given(tf1_bilinear(_plane(given["image"]), _size(given)), given)


@RUNNERS.add("fd_preproc", "image", "size")
def _bicubic_resize(given: Given) -> Any:
    return _like_given(resized(_plane(given["image"]), _size(given)), given)


def _like_given(images: Tensor, given: Given) -> Tensor:
    """Drop leading axes that the image of the case does not have."""
    return images.reshape(images.shape[4 - torch.tensor(given["image"]).ndim :])


@RUNNERS.add("quantise", "x")
def _truncated(given: Given) -> Tensor:
    return unit_to_uint8(torch.tensor(given["x"]), "truncate")


@RUNNERS.add("quantise", "x_bf16")
def _truncated_bfloat16(given: Given) -> Tensor:
    return unit_to_uint8(torch.tensor(given["x_bf16"]).bfloat16(), "truncate")


def _pair(given: Given) -> tuple[Tensor, Tensor]:
    """The batches `a` and `b`, scaled to [0, 1] as in the published code."""
    first = pictures(given["a"])
    second = pictures(given["b"], others={"a": first}, shape=first.shape)
    ours, theirs = (torch.from_numpy(batch).permute(0, 3, 1, 2) for batch in (first, second))
    return published_unit_range(ours), published_unit_range(theirs)


@RUNNERS.add("psnr", "a", "b")
def _psnr(given: Given) -> float:
    return float(psnr(*_pair(given)).mean())


@RUNNERS.add("ssim", "a", "b")
def _ssim(given: Given) -> float:
    return float(ssim(*_pair(given)).mean())


@RUNNERS.add("lpips", "feat_channels")
def _unit_norm(given: Given) -> Tensor:
    features = torch.tensor(given["feat_channels"], dtype=torch.float32)
    return directions(features.reshape(1, -1, 1, 1)).flatten()


# -- protocol ----------------------------------------------------------------------------------------------------------


@RUNNERS.add("protocol", "n", "world_size")
def _shards(given: Given) -> list[list[int]]:
    """The indices of n examples on each process of DiffusionBench: contiguous, with the remainder on the last one."""
    count, processes = given["n"], given["world_size"]
    starts = [process * (count // processes) for process in range(processes)]
    return [list(range(start, stop)) for start, stop in zip(starts, [*starts[1:], count], strict=True)]
