"""Writes the reference file of a set of images: `python -m nanogen_fidelity.statistics IMAGES FILE.npz`."""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nanogen_core.errors import DataError, NanoGenError
from nanogen_core.tensors import Batch
from nanogen_eval.protocols import Features
from nanogen_eval.sources import Source
from nanogen_fidelity.distances.moments import RunningMoments
from nanogen_fidelity.extractor import shared
from nanogen_fidelity.reference import BATCH, COUNT, MOMENTS, ROWS, SPACE, Reference, plain
from nanogen_files import storage


def compute_statistics(
    batches: Iterable[Batch], features: Features, file: Path, *, keep_features: bool = False
) -> Mapping[str, Any]:
    """Write the moments of images in a feature space, for `fid`, `frechet`, `rfid` and `fdr6`.

    Args:
        batches: Batches with `indices` and `images` [B, 3, H, W] in [-1, 1], rounded to 8 bits.
        features: The feature space.
        file: The `.npz` to write.
        keep_features: Whether to also write the features, for `kid` and `prdc`. `mind6` needs a folder with one such
            file per space, named `<space>.npz`.

    Returns:
        The number of images as `count`, and the settings of the feature space.

    Raises:
        DataError: There are fewer than two images, or a batch has no images.
    """
    running, parts = RunningMoments(), []
    for batch in batches:
        if batch.images is None:
            raise DataError("A batch has no images. Pass batches with images to compute_statistics.")
        rows = features(batch.images)
        running.add(batch.indices, rows)
        parts += [rows] if keep_features else []
    found, space = running.moments(), plain(features)
    arrays: dict[str, Any] = {
        MOMENTS[0][0]: found.mean.numpy(),
        MOMENTS[0][1]: found.covariance.numpy(),
        COUNT: len(running),
        SPACE: json.dumps(space),
    }
    if keep_features:
        arrays[ROWS] = torch.cat(parts).numpy()
    content = io.BytesIO()
    np.savez(content, **arrays)
    storage.write_bytes(file, content.getvalue())
    return {"count": len(running), **space}


def all_of(source: Source) -> Iterable[Batch]:
    """Return all images of a source in order, in batches."""
    count = len(source.requests.indices)
    return source.read(range(start, min(start + BATCH, count)) for start in range(0, count, BATCH))


def main(arguments: list[str] | None = None) -> int:
    """Run the command. Returns 0, or 1 for an error."""
    parser = argparse.ArgumentParser(prog="python -m nanogen_fidelity.statistics", description=__doc__)
    parser.add_argument("images", help="a folder of images, or an .npz with arr_0")
    parser.add_argument("file", type=Path, help="the .npz to write")
    parser.add_argument("--features", default="inception", help="the name of the feature space")
    parser.add_argument("--weights", help="a file with the weights of its network")
    parser.add_argument("--keep-features", action="store_true", help="also write the features, for kid, prdc and mind6")
    chosen = parser.parse_args(arguments)
    named = {"name": chosen.features, **({"weights": chosen.weights} if chosen.weights else {})}
    try:
        source = Reference(chosen.images).images()
        made = compute_statistics(all_of(source), shared(named), chosen.file, keep_features=chosen.keep_features)
    except NanoGenError as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(made))
    return 0


if __name__ == "__main__":
    sys.exit(main())
