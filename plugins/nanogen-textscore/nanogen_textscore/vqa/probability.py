"""The number that VQAScore is."""

from __future__ import annotations

from math import exp

import torch
from torch import Tensor
from torch.nn import functional as F


def answer_probability(logits: Tensor, labels: Tensor) -> float:
    """exp(-mean cross-entropy) of the answer's tokens [T] under logits [T, V]: their geometric mean probability.

    For T5 the answer "Yes" has two tokens, so that this is sqrt(p(Yes) p(</s> | Yes)), as published, not p(Yes).
    """
    return exp(-float(F.cross_entropy(logits.double(), labels)))


def token_probability(logits: Tensor, token: int) -> float:
    """The probability of one token under logits [V]."""
    return float(torch.softmax(logits.double(), -1)[token])
