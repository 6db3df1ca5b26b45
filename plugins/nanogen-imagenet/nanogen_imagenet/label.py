"""The condition of a class label: one one-hot token, whose projection is the embedding table, exactly."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from nanogen_core.errors import NanoGenError
from nanogen_core.specs import ConditionSpec
from nanogen_core.tensors import Batch, Condition
from nanogen_data.labels import wrong
from nanogen_imagenet.config import LabelConfig


class Label:
    """Labels 0 ... N - 1 as one-hot tokens of width N + 1; the null condition is index N."""

    def __init__(self, config: LabelConfig, *, classes: Sequence[str]):
        self.spec = ConditionSpec(width=len(classes) + 1, length=1, learned=config.learned)
        self._device = torch.device("cpu")

    def to(self, device: torch.device | str) -> Label:
        """Where conditions are made from now on; returns the conditioner itself."""
        self._device = torch.device(device)
        return self

    def encode(self, batch: Batch) -> Condition:
        """Labels [B] -> tokens [B, 1, N + 1] float32. Raises NanoGenError for a batch without labels,
        and for a label outside 0 ... N - 1."""
        if batch.labels is None:
            raise NanoGenError(
                "The conditioner 'label' was given a batch without labels: its task must give labels, or choose "
                "another conditioner."
            )
        self._refuse_outside(batch.labels)
        return self._one_hot(batch.labels)

    def null(self, count: int) -> Condition:
        """The null class `count` times: tokens [count, 1, N + 1]."""
        return self._one_hot(torch.full((count,), self.spec.width - 1))

    def _refuse_outside(self, labels: Tensor) -> None:
        """N would be the null class. On an accelerator labels are not looked at, which would wait for it: readers and
        requests have checked theirs."""
        classes = self.spec.width - 1
        if labels.device.type == "cpu" and labels.numel() and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
            row = int(((labels < 0) | (labels >= classes)).nonzero()[0, 0])
            raise NanoGenError(wrong(labels[row].item(), classes, f"row {row} of a batch"))

    def _one_hot(self, labels: Tensor) -> Condition:
        tokens = F.one_hot(labels.to(self._device), self.spec.width)  # [B, N + 1]
        return Condition(tokens[:, None].float())  # [B, 1, N + 1]
