"""From Mask2Former's answers to objects, as the DiffusionBench evaluation does it."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor
from torch.nn import functional as F


class Instance(NamedTuple):
    """One object: the number of its class, how sure the network is, and its pixels [H, W] bool."""

    label: int
    score: float
    mask: Tensor


def instances(
    class_logits: Tensor,
    mask_logits: Tensor,
    *,
    image_size: tuple[int, int],
    target_size: tuple[int, int],
    threshold: float = 0.3,
) -> list[Instance]:
    """Objects of one picture with a score of at least `threshold`, whose masks are not empty; surest class first.

    Class logits [Q, K + 1], the last for no object, and mask logits [Q, h, w]. The masks are judged at `image_size`
    (h, w of the network's input) and brought to `target_size` by the nearest pixel. Of all Q K pairs of a query and a
    class, the Q with the highest class probability are looked at; a score is that probability times the mean mask
    probability inside of the mask, to six digits.
    """
    masks = F.interpolate(mask_logits[None].float(), size=image_size, mode="bilinear", align_corners=False)[0]
    probabilities = class_logits.float().softmax(-1)[:, :-1]  # [Q, K]
    best, places = probabilities.flatten().topk(len(class_logits))
    queries, labels = places // probabilities.shape[1], places % probabilities.shape[1]
    masks = masks[queries]  # [Q, h, w]
    inside = (masks > 0).float()
    certainty = (masks.sigmoid() * inside).flatten(1).sum(1) / (inside.flatten(1).sum(1) + 1e-6)
    shown = F.interpolate(inside[None], size=target_size, mode="nearest")[0] > 0  # [Q, H, W]
    found = zip(labels.tolist(), (best * certainty).tolist(), shown.cpu(), strict=True)
    return [Instance(label, round(score, 6), mask) for label, score, mask in found if score >= threshold and mask.any()]
