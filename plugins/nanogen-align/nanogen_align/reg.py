"""REG: representation entanglement (Wu et al., arXiv 2507.01467)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

from nanogen_align.config import RegConfig
from nanogen_align.teacher import teacher_of
from nanogen_core.errors import Incompatible
from nanogen_core.protocols import Backbone
from nanogen_core.randomness import KeyedRNG
from nanogen_core.tensors import Batch, ForwardPass, Losses, State
from nanogen_train.protocols import Auxiliary

EXTRA = "reg"


def class_token(patches: Tensor, token: Tensor | None) -> Tensor:
    """Return the teacher's class token [B, D]."""
    assert token is not None, "the teacher returned no class token"
    return token


def mean_token(patches: Tensor, token: Tensor | None) -> Tensor:
    """Return the mean [B, D] of the patch tokens [B, N, D]."""
    return patches.mean(dim=1)


POOLS: Mapping[str, Callable[[Tensor, Tensor | None], Tensor]] = {"class": class_token, "mean": mean_token}


class Reg(Auxiliary):
    """REG: adds a teacher's class token to the state. The token gets the noise level of the latent (the same t).

    The objective computes the loss of the class token, with the weight `objective.cls_token_weight`.

    Args:
        config: The teacher, and which of its tokens is added.

    Raises:
        Incompatible: `token` is "class", but the teacher has no class token.
    """

    def __init__(self, config: RegConfig):
        self.teacher = teacher_of(config.teacher, "auxiliary.reg.teacher")
        self.cls_token_width = self.teacher.width
        self._pool = POOLS[config.token]
        if config.token == "class" and not self.teacher.has_class_token:
            raise Incompatible(
                f"auxiliary.reg.teacher: {config.teacher!r} has no class token. Choose another teacher, or set "
                f"`auxiliary.reg.token: mean` (the mean of the patch tokens)."
            )

    def prepare(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return the teacher's class token of each image [B, D], or the mean of its patch tokens (`token: mean`)."""
        assert batch.images is not None, "the batch has no images for the teacher"
        return {EXTRA: self._pool(*self.teacher.encode(batch.images))}

    def cls_token(self, batch: Batch) -> Tensor:
        """Return the clean class tokens [B, D]."""
        return batch.extras[EXTRA]

    def loss(
        self, forward_pass: ForwardPass, clean: State, batch: Batch, nets: Mapping[str, Backbone], rng: KeyedRNG
    ) -> Losses:
        """Return a loss of 0. The objective computes the loss of the class token."""
        return Losses(batch.extras[EXTRA].new_zeros(()))
