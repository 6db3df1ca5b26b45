"""REG: representation entanglement (Wu et al., arXiv 2507.01467)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor

from nanogen_align.config import RegConfig
from nanogen_align.teacher import teacher_of
from nanogen_core.errors import Incompatible
from nanogen_core.randomness import KeyedRNG
from nanogen_core.tensors import Batch, ForwardPass, Losses, State

EXTRA = "reg"


def class_token(patches: Tensor, token: Tensor | None) -> Tensor:
    """The teacher's own: [B, D]."""
    assert token is not None, "an encoder that has a class token gives it"
    return token


def mean_token(patches: Tensor, token: Tensor | None) -> Tensor:
    """The mean of the patch tokens [B, N, D]: [B, D]."""
    return patches.mean(dim=1)


POOLS: Mapping[str, Callable[[Tensor, Tensor | None], Tensor]] = {"class": class_token, "mean": mean_token}


class Reg:
    """The teacher's class token is noised at the sample's own time and denoised along with the latent.

    The objective adds the noise and the token's loss, weighted by `objective.cls_token_weight`. This part adds no loss.
    """

    intermediates: Sequence[str] = ()
    nets = None

    def __init__(self, config: RegConfig):
        self.teacher = teacher_of(config.teacher)
        self.cls_token_width = self.teacher.width
        self._pool = POOLS[config.token]
        if config.token == "class" and not self.teacher.has_class_token:
            raise Incompatible(
                f"auxiliary.reg.teacher: {config.teacher!r} has no class token, which REG diffuses along: choose "
                f"another teacher, or set `auxiliary.reg.token` to 'mean' (of its patch tokens)."
            )

    def prepare(self, batch: Batch) -> Mapping[str, Tensor]:
        """The token of each image: [B, token_width]."""
        assert batch.images is not None, "the teacher wants images"
        return {EXTRA: self._pool(*self.teacher.encode(batch.images))}

    def cls_token(self, batch: Batch) -> Tensor:
        """The clean token of each example: [B, token_width]."""
        return batch.extras[EXTRA]

    def loss(self, forward_pass: ForwardPass, clean: State, batch: Batch, rng: KeyedRNG) -> Losses:
        """Nothing beside the objective's own."""
        return Losses(batch.extras[EXTRA].new_zeros(()))
