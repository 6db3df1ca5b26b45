"""Base class of frozen feature extractors, and a cache that lets metrics share them."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any
from weakref import WeakValueDictionary

import torch
from torch import Tensor, nn

from nanogen_core.errors import NanoGenError
from nanogen_core.named_components import Named, build_named
from nanogen_data.contents import of_values
from nanogen_eval.protocols import Features
from nanogen_files.images import to_uint8

CHUNK = 32  # images per forward pass: the largest activation of Inception-v3 then takes 175 MB


class Extractor(ABC):
    """A component of the kind `features`. Weights are loaded on first use.

    Subclasses set `width`, the number of features, and implement `settings`, `load` and `forward_features`. The outputs
    for the last batch are cached, so metrics that share an extractor run its network once per batch.
    """

    width: int
    outputs: Sequence[str] = ("features",)  # names of the outputs of `forward_features`

    def __init__(self) -> None:
        self._network: nn.Module | None = None
        self._last: tuple[Tensor, Sequence[Tensor]] | None = None

    @property
    @abstractmethod
    def settings(self) -> Mapping[str, Any]:
        """Everything that the features depend on: the hash of the weights, the input size, the resize kernel."""

    @abstractmethod
    def load(self) -> nn.Module:
        """Build the network with its weights. Raises DataError for missing weights, or weights of another network."""

    @abstractmethod
    def forward_features(self, network: nn.Module, pixels: Tensor) -> Sequence[Tensor]:
        """Run the network on uint8 images [B, 3, H, W]. Returns the tensors named in `outputs`; features [B, D]
        first."""

    @property
    def network(self) -> nn.Module:
        """The network, frozen and in evaluation mode."""
        if self._network is None:
            self._network = self.load().eval().requires_grad_(False)
        return self._network

    def __call__(self, images: Tensor) -> Tensor:
        """Map images [B, 3, H, W] in [-1, 1] to features [B, D], float32 on the CPU."""
        return self.extract(images)[0]

    @torch.no_grad()
    def extract(self, images: Tensor) -> Sequence[Tensor]:
        """Map images [B, 3, H, W] in [-1, 1] to all `outputs`, float32 on the CPU.

        Raises NanoGenError for features that are not finite.
        """
        if self._last is None or self._last[0] is not images:
            network = self.network.to(images.device)
            parts = [self.forward_features(network, to_uint8(part)) for part in torch.split(images, CHUNK)]
            found = [torch.cat(column).float().cpu() for column in zip(*parts, strict=True)]
            self._refuse_nonfinite(found[0])
            self._last = images, found
        return self._last[1]

    def _refuse_nonfinite(self, features: Tensor) -> None:
        if not features.isfinite().all():
            raise NanoGenError(
                f"{type(self).__name__} computed features that are not finite. Run its network in float32"
                " (`autocast: false`), or download its weights again."
            )


_SHARED: WeakValueDictionary[str, Features] = WeakValueDictionary()


def shared(named: Named, *, path: str = "features") -> Features:
    """Build a feature extractor, or return the one that another metric built with the same name, options and files.

    Args:
        named: The name of a component of the kind `features`, or a mapping with `name` and options.
        path: The option that is named in error messages.

    Raises:
        UnknownName: No component has this name.
        ConfigError: An option is wrong.
    """
    key = json.dumps([named, of_values(named)], sort_keys=True, default=str)
    features = _SHARED.get(key)
    if features is None:
        features = _SHARED[key] = build_named("features", named, path=path)
    return features
