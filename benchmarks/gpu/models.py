"""Models at 256 px, with random latents instead of data."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from attrs import field, frozen

from benchmarks.gpu.goals import DDT, FLEX, FLOW, FORWARD, MEANFLOW, SHORT_TEXT, TEXT, XL
from nanogen_core.assembly import Assembly
from nanogen_core.config import resolve
from nanogen_core.pipeline import Pipeline
from nanogen_core.tensors import Batch, Condition
from nanogen_train.trainer.loop import Run

CLASSES = 1000
LR = 1e-4


@frozen(kw_only=True)
class Model:
    """One row: a backbone, a method, and the batch size that fits into memory."""

    name: str
    backbone: dict[str, Any]
    batch_size: int
    method: str = "vae"
    captions: tuple[int, int] | None = None  # the fewest and most tokens of captions, in place of class labels
    plain: bool = False  # whether the plain loop is measured too
    compile: bool = True
    eager: bool = True
    changes: dict[str, Any] = field(factory=dict)  # of the configuration


B, DDT_XL = {"name": "lightning-dit", "size": "B"}, {"name": "ddt", "size": "XL"}
INTERVALS = {"probability": 1.0}  # MeanFlow computes du/dt in every step
MODELS = (  # in the order of their importance, because the time of a run is limited
    Model(name=XL, backbone={"name": "lightning-dit", "size": "XL"}, batch_size=32, plain=True),
    Model(name=DDT, backbone=DDT_XL, batch_size=32, plain=True),
    Model(name=TEXT, backbone=DDT_XL, batch_size=32, captions=(20, 256), plain=True),
    Model(
        name=FLEX,
        backbone={**DDT_XL, "masked_attention": "flex"},
        batch_size=32,
        captions=(20, 256),
        eager=False,
    ),
    Model(name=FLOW, backbone=B, batch_size=64, plain=True),  # equal to MeanFlow's: their steps are compared
    Model(
        name=MEANFLOW,
        backbone=B,
        batch_size=64,
        method="meanflow",
        plain=True,
        compile=False,
        changes={"objective": INTERVALS},
    ),
    Model(name=SHORT_TEXT, backbone=DDT_XL, batch_size=32, captions=(20, 120), compile=False),
    Model(
        name=FORWARD,
        backbone=B,
        batch_size=64,
        method="meanflow",
        plain=True,
        eager=False,
        changes={"objective": {**INTERVALS, "derivative": "forward"}},
    ),
    Model(
        name="LightningDiT-XL, float8",
        backbone={"name": "lightning-dit", "size": "XL"},
        batch_size=32,
        eager=False,
        changes={"train": {"float8": "tensorwise"}},
    ),
)
TINY = {"name": "lightning-dit", "size": "tiny"}
SMALL = (  # small enough to try the script on a CPU
    Model(name="tiny, vae", backbone=TINY, batch_size=4, plain=True, compile=False),
    Model(
        name="tiny, meanflow",
        backbone=TINY,
        batch_size=4,
        method="meanflow",
        plain=True,
        compile=False,
        changes={"objective": INTERVALS},
    ),
    Model(
        name="tiny, text",
        backbone={"name": "ddt", "size": "tiny"},
        batch_size=4,
        captions=(20, 256),
        plain=True,
        compile=False,
    ),
)


def run_of(model: Model, *, compiled: bool, precision: str) -> Run:
    """Return a run of the model on SD-VAE latents, which steps on given batches."""
    train = {
        "batch_size": model.batch_size,
        "precision": precision,
        "compile": "blocks" if compiled else "none",
        "steps": 1_000_000,
        "log_every": 1_000_000,
        "sample_every": 0,
        "checkpoint_every": 0,
    }
    config = {
        "task": "t2i" if model.captions else "imagenet",
        **({"encoder": Captions()} if model.captions else {}),
        "method": model.method,
        "backbone": model.backbone,
        "optimizer": {"name": "adamw", "lr": LR},
        "schedule": "constant",
        "train": train,
    }
    resolved = resolve(config, model.changes)
    torch.manual_seed(0)
    names = () if model.captions else tuple(f"class {number}" for number in range(CLASSES))
    assembly = Assembly(resolved, {"classes": names})
    assembly.excuse_dataset()
    return Run(Pipeline(resolved, assembly), Path(tempfile.mkdtemp(prefix="nanogen-gpu-")))


class Captions:
    """Text encoder without weights: random hidden states [B, L, 1024] of captions of random lengths."""

    provides = frozenset({"text"})
    width = 1024
    max_length = 256

    def __init__(self, shortest: int = 20, longest: int = max_length, device: torch.device | str = "cpu"):
        self.shortest, self.longest, self.device = shortest, longest, device

    def encode(self, texts: Sequence[str], length: int) -> Condition:
        """Return states of random lengths."""
        counts = torch.randint(self.shortest, min(length, self.longest) + 1, (len(texts), 1))
        mask = (torch.arange(int(counts.max())) < counts).to(self.device)
        return Condition(torch.randn(*mask.shape, self.width, device=self.device) * mask[..., None], mask)

    def to(self, device: torch.device | str) -> Captions:
        return self


def batches_of(model: Model, run: Run) -> Iterator[Batch]:
    """Yield a batch for each step: new captions, because their lengths decide the work, or always the same labels."""
    given = batch_of(model, run)
    while True:
        yield given
        given = batch_of(model, run) if model.captions else given


def batch_of(model: Model, run: Run) -> Batch:
    """Return latents, and labels or encoded captions, on the device of the run."""
    shape, device = (model.batch_size, *run.pipeline.latent.shape), run.engine.device
    latents = torch.randn(shape, device=device)
    if model.captions:
        condition = Captions(*model.captions, device).encode(["caption"] * model.batch_size, Captions.max_length)
        return Batch(torch.arange(model.batch_size), latents=latents, condition=condition)
    labels = torch.randint(CLASSES, (model.batch_size,), device=device)
    return Batch(torch.arange(model.batch_size), labels=labels, latents=latents)
