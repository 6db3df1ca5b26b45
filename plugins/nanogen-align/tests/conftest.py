"""A tiny frozen vision encoder, registered as a component."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
import torch
from attrs import frozen
from torch import Tensor, nn

from nanogen_core import registry
from nanogen_core.hookspecs import hookimpl
from nanogen_core.plugins import Discovery, Plugin, discover
from nanogen_core.specs import Component

torch.set_num_threads(1)


@frozen(kw_only=True)
class TinyVisionConfig:
    patch: int = 4
    width: int = 12
    class_token: bool = True


class TinyVision:
    """An encoder with fixed random weights. Counts the calls of `encode`."""

    def __init__(self, config: TinyVisionConfig):
        self.width, self.has_class_token = config.width, config.class_token
        self.calls = 0
        with torch.random.fork_rng():
            torch.manual_seed(1)
            self.net = nn.Conv2d(3, config.width, config.patch, stride=config.patch).requires_grad_(False)

    def to(self, device: torch.device | str) -> TinyVision:
        self.net.to(device)
        return self

    @torch.no_grad()
    def encode(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        self.calls += 1
        return self.forward_features(images)

    def forward_features(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        tokens = self.net(images).flatten(2).transpose(1, 2)
        return tokens, tokens.mean(dim=1) if self.has_class_token else None


MANIFEST = ModuleType("tiny_vision_manifest")
MANIFEST.TinyVision, MANIFEST.TinyVisionConfig = TinyVision, TinyVisionConfig
HOME = MANIFEST.__name__


def _components() -> list[Component]:
    names = {"target": f"{HOME}:TinyVision", "config": f"{HOME}:TinyVisionConfig"}
    return [
        Component(kind="vision_encoder", name="tiny-vision", **names),
        Component(kind="encoder", name="tiny-text", provides={"text"}, **names),
    ]


MANIFEST.nanogen_components = hookimpl(specname="nanogen_components")(_components)


@pytest.fixture(autouse=True)
def encoders(monkeypatch):
    """Register the encoders `tiny-vision` and `tiny-text`."""
    installed = discover()
    manager = type(installed.manager)("nanogen")
    from nanogen_core import hookspecs

    manager.add_hookspecs(hookspecs)
    for name, plugin in installed.manager.list_name_plugin():
        manager.register(plugin, name=name)
    manager.register(MANIFEST, name="tiny:vision")
    plugins = (*installed.plugins, Plugin("vision", "tiny", "0", HOME))
    monkeypatch.setitem(sys.modules, HOME, MANIFEST)
    monkeypatch.setattr(registry, "discover", lambda: Discovery(plugins, manager))
    registry.registry.cache_clear()
    yield
    registry.registry.cache_clear()


@pytest.fixture
def small():
    """Configuration of a tiny run on OpenMoji."""
    return {
        "task": "imagenet",
        "image_size": 16,
        "dataset": {"name": "openmoji", "train": 32, "val": 16},
        "tokenizer": "openmoji-vae",
        "backbone": {"name": "ddt", "hidden": 16, "depth": 3, "heads": 1, "decoder_hidden": 16, "decoder_depth": 1,
                     "decoder_heads": 1, "patch_size": 1},
        "objective": "flow",
        "sampler": {"name": "euler", "steps": 2},
        "stage": {"name": "diffusion", "ema_decay": 0.5},
        "optimizer": {"name": "adamw", "lr": 1e-2},
        "train": {"steps": 4, "batch_size": 8, "precision": "fp32", "log_every": 1, "sample_every": 0,
                  "sample_count": 2, "checkpoint_every": 2},
    }  # fmt: skip
