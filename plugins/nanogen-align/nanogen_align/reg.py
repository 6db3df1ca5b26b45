"""REG: representation entanglement (Wu et al., arXiv 2507.01467)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from nanogen_align.config import RegConfig
from nanogen_align.teacher import teacher_of
from nanogen_core.errors import Incompatible
from nanogen_core.tensors import Batch, Losses, Seen, State

EXTRA = "reg"


class Reg:
    """The teacher's class token is noised at the sample's own time and denoised along with the latent.

    The objective does the noising, and weighs the token's own loss (`objective.token_weight`): nothing is added here.
    """

    taps: Sequence[str] = ()
    nets = None

    def __init__(self, config: RegConfig):
        self.teacher = teacher_of(config.teacher)
        self.token_width = self.teacher.width
        if not self.teacher.has_class_token:
            raise Incompatible(
                f"auxiliary.reg.teacher: {config.teacher!r} has no class token, which REG diffuses along: choose "
                f"another teacher."
            )

    def prepare(self, batch: Batch) -> Mapping[str, Tensor]:
        """The class token of each image: [B, token_width]."""
        assert batch.images is not None, "the teacher wants images"
        _, token = self.teacher.encode(batch.images)
        assert token is not None, "an encoder that has a class token gives it"
        return {EXTRA: token}

    def token(self, batch: Batch) -> Tensor:
        """The clean token of each example: [B, token_width]."""
        return batch.extras[EXTRA]

    def loss(self, seen: Seen, clean: State, batch: Batch) -> Losses:
        """Nothing beside the objective's own."""
        return Losses(batch.extras[EXTRA].new_zeros(()))
