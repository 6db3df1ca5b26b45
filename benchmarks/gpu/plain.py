"""Plain networks and loops of the same sizes as the models, on SD-VAE latents."""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.gpu.models import CLASSES, LR, Captions, Model
from benchmarks.plain.embeddings import Captions as PaddedCaptions
from benchmarks.plain.embeddings import Label, Text
from benchmarks.plain.loops import MeanFlowLoop, PlainLoop
from benchmarks.plain.networks import Network, PlainDDT, PlainDiT, Sizes
from nanogen_dit.config import DDTConfig, LightningDiTConfig

SD_VAE = {"channels": 4, "side": 32, "patch": 2}
FLOW_MEAN, MEANFLOW_MEAN = 0.0, -0.4  # of logit(t)


def plain_network(model: Model) -> Network:
    """Return the plain network of a model, with random weights."""
    options: dict[str, Any] = {name: value for name, value in model.backbone.items() if name != "name"}
    is_ddt, jumps = model.backbone["name"] == "ddt", model.method == "meanflow"
    config = DDTConfig(**options) if is_ddt else LightningDiTConfig(**options)
    trunk = config.trunk
    sizes: dict[str, Any] = {"width": trunk.hidden, "depth": trunk.depth, "heads": trunk.heads}
    if isinstance(config, DDTConfig):
        sizes["decoder"] = config.decoder.hidden, config.decoder.depth, config.decoder.heads
    text = Captions.width, trunk.hidden, Captions.max_length
    condition = Text(*text) if model.captions else Label(CLASSES, trunk.hidden)
    return (PlainDDT if is_ddt else PlainDiT)(Sizes(**SD_VAE, **sizes, two_times=jumps, explicit=jumps), condition)


def plain_loop(model: Model, device: torch.device | str, *, bf16: bool, compiled: bool) -> PlainLoop:
    """Return the plain loop of a model, on random latents and labels or captions.

    Captions are padded to 256 tokens, as in the published code. The work does not depend on their lengths, so that all
    steps have the same.
    """
    latents = torch.randn(model.batch_size, SD_VAE["channels"], SD_VAE["side"], SD_VAE["side"], device=device)
    with torch.device(device):  # drawing weights on a CPU takes seconds
        net = plain_network(model)
    loop, mean = (MeanFlowLoop, MEANFLOW_MEAN) if model.method == "meanflow" else (PlainLoop, FLOW_MEAN)
    given = padded_captions(model, device) if model.captions else torch.randint(CLASSES, latents.shape[:1]).to(device)
    return loop(net, latents, given, lr=LR, time_mean=mean, bf16=bf16, compiled=compiled)


def padded_captions(model: Model, device: torch.device | str) -> PaddedCaptions:
    assert model.captions is not None
    shortest, longest = model.captions
    counts = torch.randint(shortest, longest + 1, (model.batch_size, 1), device=device)
    mask = torch.arange(Captions.max_length, device=device) < counts
    return PaddedCaptions(torch.randn(*mask.shape, Captions.width, device=device), mask)
