"""Small data on disk in real formats, and configurations that read them."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from nanogen_core import Pipeline, build_pipeline
from nanogen_core.config import Resolved, resolve

torch.set_num_threads(1)
SIZE = 16


def picture(number: int) -> Image.Image:
    """Smooth noise that is another one for each number, and another one mirrored."""
    pixels = np.random.default_rng(number).integers(0, 256, (5, 4, 3), np.uint8)
    return Image.fromarray(pixels).resize((24, 20), Image.Resampling.BICUBIC)


def png(number: int) -> bytes:
    data = BytesIO()
    picture(number).save(data, "PNG")
    return data.getvalue()


def config(name: str, root: Path | str, **over: Any) -> dict[str, Any]:
    """A run of a few steps over several epochs."""
    dataset = {"imagenet": "imagenet-folder", "t2i": "webdataset"}[name]
    encoder = {"encoder": {"name": "minilm", "max_length": 12}} if name == "t2i" else {}
    train = {"steps": 8, "batch_size": 6, "precision": "fp32", "log_every": 1, "sample_every": 0, "sample_count": 2}
    settings = {
        "task": {"name": name, "flip": True} if name == "imagenet" else name,
        "image_size": SIZE,
        "dataset": {"name": dataset, "root": str(root)},
        "tokenizer": "openmoji-vae",
        "backbone": {"name": "lightning-dit", "hidden": 16, "depth": 1, "heads": 1},
        "objective": "flow",
        "sampler": {"name": "euler", "steps": 1},
        **encoder,
        **over,
    }
    return {**settings, "train": {**train, "checkpoint_every": 0, **over.get("train", {})}}


def resolved(*args: Any, **over: Any) -> Resolved:
    return resolve(config(*args, **over))


def on_latents(folder: Path, task: str, root: Path | str, **over: Any) -> Pipeline:
    return build_pipeline(config(task, root, train={"precomputed_latents": str(folder)}, **over))
