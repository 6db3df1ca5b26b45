"""The conditioner `label`: a class label as one one-hot token, so its linear projection is an embedding table."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from nanogen_core.errors import NanoGenError
from nanogen_core.specs import ConditionSpec
from nanogen_core.tensors import Batch, Condition
from nanogen_data.labels import wrong
from nanogen_imagenet.config import LabelConfig


class Label:
    """Encodes labels 0 to N - 1 as one-hot tokens of width N + 1. Index N is the null condition."""

    def __init__(self, config: LabelConfig, *, classes: Sequence[str]):
        self.spec = ConditionSpec(width=len(classes) + 1, length=1, learned=config.learned)
        self._device = torch.device("cpu")

    def to(self, device: torch.device | str) -> Label:
        """Move later computation to a device. Returns self."""
        self._device = torch.device(device)
        return self

    def encode(self, batch: Batch) -> Condition:
        """Encode labels [B] as tokens [B, 1, N + 1] float32.

        Raises NanoGenError for a batch without labels, or for a label on the CPU that is outside 0 to N - 1.
        """
        if batch.labels is None:
            raise NanoGenError(
                "The conditioner 'label' needs labels, but the batch has none. Use a task with labels, or another "
                "conditioner."
            )
        self._refuse_outside(batch.labels)
        return self._one_hot(batch.labels)

    def null(self, count: int) -> Condition:
        """Return the null class `count` times: tokens [count, 1, N + 1]."""
        return self._one_hot(torch.full((count,), self.spec.width - 1, device=self._device))

    def _refuse_outside(self, labels: Tensor) -> None:
        """Raise NanoGenError for a label outside 0 to N - 1: N would be read as the null class.

        Labels on an accelerator are not checked, because that would synchronise. Datasets and requests check theirs.
        """
        classes = self.spec.width - 1
        if labels.device.type == "cpu" and labels.numel() and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
            row = int(((labels < 0) | (labels >= classes)).nonzero()[0, 0])
            raise NanoGenError(wrong(labels[row].item(), classes, f"row {row} of a batch"))

    def _one_hot(self, labels: Tensor) -> Condition:
        # not F.one_hot, which waits for the values of the labels
        tokens = labels.to(self._device)[:, None, None] == torch.arange(self.spec.width, device=self._device)
        return Condition(tokens.float())  # [B, 1, N + 1]
