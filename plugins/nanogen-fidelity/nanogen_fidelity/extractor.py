"""A frozen network in front of metrics: read at the first call, and asked once about the same images."""

from __future__ import annotations

import json
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

CHUNK = 32  # images at a time: the largest layer of the FID network takes 175 MB for them


class Extractor:
    """A component of the kind `features`. Subclasses say `load`, `look`, `settings` and `width`."""

    width: int
    settings: Mapping[str, Any]
    gives: Sequence[str] = ("features",)  # what `look` gives, in order

    def __init__(self) -> None:
        self._network: nn.Module | None = None
        self._last: tuple[Tensor, Sequence[Tensor]] | None = None

    def load(self) -> nn.Module:
        """The network with its weights. Raises DataError where they are missing or of another one."""
        raise NotImplementedError

    def forward_features(self, network: nn.Module, pixels: Tensor) -> Sequence[Tensor]:
        """What the network sees in bytes [B, 3, H, W]: the features [B, D], and what else it says of each image."""
        raise NotImplementedError

    @property
    def network(self) -> nn.Module:
        if self._network is None:
            self._network = self.load().eval().requires_grad_(False)
        return self._network

    def __call__(self, images: Tensor) -> Tensor:
        """Images [B, 3, H, W] in [-1, 1] -> float32 [B, D], on the CPU."""
        return self.see(images)[0]

    @torch.no_grad()
    def see(self, images: Tensor) -> Sequence[Tensor]:
        """All that `look` gives, float32 on the CPU; images that are asked about again are not looked at again."""
        if self._last is None or self._last[0] is not images:
            network = self.network.to(images.device)
            parts = [self.forward_features(network, to_uint8(part)) for part in images.split(CHUNK)]
            seen = [torch.cat(column).float().cpu() for column in zip(*parts, strict=True)]
            self._refuse_nonfinite(seen[0])
            self._last = images, seen
        return self._last[1]

    def _refuse_nonfinite(self, features: Tensor) -> None:
        if not features.isfinite().all():
            raise NanoGenError(
                f"{type(self).__name__} gives features that are not finite. Likely cause: its network computes in too"
                " low a precision, or its weights are damaged."
            )


_SHARED: WeakValueDictionary[str, Features] = WeakValueDictionary()


def shared(named: Named, *, path: str = "features") -> Features:
    """The features of this name and options; metrics that name the same ones share them, and their network, as long as
    the files that they name are the same."""
    key = json.dumps([named, of_values(named)], sort_keys=True, default=str)
    features = _SHARED.get(key)
    if features is None:
        features = _SHARED[key] = build_named("features", named, path=path)
    return features
