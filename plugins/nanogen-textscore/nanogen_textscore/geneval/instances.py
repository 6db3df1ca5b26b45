"""Turns the outputs of Mask2Former into object instances, as in the DiffusionBench evaluation."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor
from torch.nn import functional as F


class Instance(NamedTuple):
    """An object instance."""

    label: int  # class number
    score: float  # in [0, 1]
    mask: Tensor  # [H, W] bool


def instances(
    class_logits: Tensor,
    mask_logits: Tensor,
    *,
    image_size: tuple[int, int],
    target_size: tuple[int, int],
    threshold: float = 0.3,
) -> list[Instance]:
    """Return the instances of one image, in descending order of class probability.

    Of all Q K pairs of a query and a class, the Q pairs with the highest class probability are used. The score of a
    pair is its class probability times the mean mask probability inside the mask, rounded to six decimals.

    Args:
        class_logits: [Q, K + 1]; the last class stands for no object.
        mask_logits: [Q, h, w].
        image_size: (height, width) of the network's input, at which masks are thresholded.
        target_size: (height, width) of the image. Masks are resized to it by nearest neighbour.
        threshold: Instances with a lower score, or with an empty mask, are dropped.
    """
    masks = F.interpolate(mask_logits[None].float(), size=image_size, mode="bilinear", align_corners=False)[0]
    probabilities = class_logits.float().softmax(-1)[:, :-1]  # [Q, K]
    best, pairs = probabilities.flatten().topk(len(class_logits))
    queries, labels = pairs // probabilities.shape[1], pairs % probabilities.shape[1]
    masks = masks[queries]  # [Q, h, w]
    inside = (masks > 0).float()
    mask_probability = (masks.sigmoid() * inside).flatten(1).sum(1) / (inside.flatten(1).sum(1) + 1e-6)
    resized = F.interpolate(inside[None], size=target_size, mode="nearest")[0] > 0  # [Q, H, W]
    found = zip(labels.tolist(), (best * mask_probability).tolist(), resized.cpu(), strict=True)
    return [Instance(label, round(score, 6), mask) for label, score, mask in found if score >= threshold and mask.any()]
