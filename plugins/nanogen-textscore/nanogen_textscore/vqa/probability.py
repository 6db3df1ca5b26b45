"""Probabilities of answers from logits."""

from __future__ import annotations

from math import exp

import torch
from torch import Tensor
from torch.nn import functional as F


def answer_probability(logits: Tensor, labels: Tensor) -> float:
    """Compute exp(-mean cross-entropy) of an answer: the geometric mean of its token probabilities.

    As published, the end token counts: "Yes" has two tokens in T5, so its result is sqrt(p(Yes) p(</s> | Yes)).

    Args:
        logits: The logits [T, V] at the positions of the answer's tokens.
        labels: The tokens of the answer [T].
    """
    return exp(-float(F.cross_entropy(logits.double(), labels)))


def token_probability(logits: Tensor, token: int) -> float:
    """Return the probability of a token under logits [V]."""
    return float(torch.softmax(logits.double(), -1)[token])
