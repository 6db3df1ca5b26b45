"""The whole discriminator: resized input, DINO, levels, heads in both modes, losses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch

from nanogen_rae.dino import DinoViT
from nanogen_rae.discriminator import Heads, generator_loss, hinge
from nanogen_rae.features import DINO_BLOCKS, DinoFeatures
from tests.fidelity.measurement import Measurement, relative_max
from tests.fidelity.recorded import compared, read, under

TOLERANCE = 1e-4
ROWS = 16  # every sixteenth row of the network's input is recorded


@torch.no_grad()
def measure(path: Path) -> Iterator[Measurement]:
    """Every recorded output. The fixture's losses are float32 numbers."""
    facts, tensors = read(path)
    images = tensors["in.images_u8"] / 127.5 - 1
    dino = DinoFeatures(DinoViT(under(tensors, "dino."), facts["recipe"]["num_heads"]).eval())
    heads = Heads(dino.width, dino.levels)
    heads.load_state_dict(under(tensors, "disc."))
    features, given = dino(images), list(facts["levels"])
    found = {"out.input_rows": dino.prepared(images)[:, :, ::ROWS]}
    found |= {f"out.block_{block}": level for block, level in zip(given, features, strict=True)}
    heads.eval()
    found["out.logits"] = heads(features)
    heads.train()
    found["out.train_logits_fake"] = fake = heads(dino(images[:1]))
    found["out.train_logits_real"] = real = heads(dino(images[1:]))
    found |= {f"after.{name}": tensor for name, tensor in heads.state_dict().items() if name.endswith(("_u", "_v"))}
    yield from compared(found, tensors, TOLERANCE)
    losses = {"discriminator_hinge": hinge(real, fake), "generator": generator_loss(found["out.logits"][0])}
    for name, loss in losses.items():
        yield Measurement(name, relative_max(loss, torch.tensor(facts["losses"][name])), TOLERANCE)
    yield Measurement("levels", 0.0 if list(DINO_BLOCKS) == given else 1.0, 0.0)
