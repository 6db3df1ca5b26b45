"""Optimizer components. `build` makes a torch optimizer for the named parameters of one phase.

`build(parameters, fused)`: `fused` describes the parameters that stack several matrices (`nanogen_train.optim.fused`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nanogen_core.errors import TrainingError
from nanogen_train.optim.composite import CompositeOptimizer
from nanogen_train.optim.fused import NOT_FUSED, FusedRows
from nanogen_train.optim.muon import MuonOptimizer
from nanogen_train.optim.settings import AdamWConfig, MuonConfig

FUSED_DEVICES = ("cpu", "cuda", "mps", "xpu")  # devices with a fused AdamW kernel


class AdamW:
    """AdamW (Loshchilov and Hutter, arXiv 1711.05101)."""

    def __init__(self, config: AdamWConfig):
        self.config = config

    def build(
        self, parameters: Sequence[tuple[str, nn.Parameter]], fused: FusedRows = NOT_FUSED
    ) -> torch.optim.Optimizer:
        """Build the optimizer of a phase. The schedule scales its learning rate at every step.

        Args:
            parameters: Parameters by name.
            fused: Maps each fused parameter to the row counts of its matrices. AdamW ignores it.

        Raises:
            TrainingError: No parameter requires a gradient.
        """
        return _adamw([tensor for _, tensor in _trained(parameters)], self.config)


class Muon:
    """Muon for hidden matrices, combined with AdamW.

    Muon updates the matrices whose names match `hidden`, by default those inside a network's blocks. AdamW updates all
    other parameters, such as embeddings, heads, norms and biases.
    """

    def __init__(self, config: MuonConfig):
        self.config = config

    def build(
        self, parameters: Sequence[tuple[str, nn.Parameter]], fused: FusedRows = NOT_FUSED
    ) -> torch.optim.Optimizer:
        """Build the optimizer of a phase.

        Args:
            parameters: Parameters by name.
            fused: Maps each fused parameter to the row counts of its matrices.

        Raises:
            TrainingError: The pattern `hidden` matches no matrix, or no parameter requires a gradient.
        """
        trained = _trained(parameters)
        matrices = {name: tensor for name, tensor in trained if self._is_hidden(name, tensor)}
        if not matrices:
            raise TrainingError(self._no_matrix(trained))
        others = [tensor for name, tensor in trained if name not in matrices]
        members = [self._muon(list(matrices.values()), fused), *([_adamw(others, self.config)] if others else [])]
        return CompositeOptimizer([tensor for _, tensor in trained], members)

    def _no_matrix(self, trained: Sequence[tuple[str, nn.Parameter]]) -> str:
        """Return why Muon has nothing to train, and what to do."""
        matrices = [name for name, tensor in trained if tensor.ndim == 2]
        if not matrices:
            return "Muon has no parameters: none of the trained ones is a matrix. Use another optimizer."
        return (
            f"Muon has no parameters: the pattern {self.config.hidden!r} matches no matrix. Set "
            f"`optimizer.hidden` to match names such as {matrices[0]!r}, or use another optimizer."
        )

    def _is_hidden(self, name: str, tensor: Tensor) -> bool:
        return tensor.ndim == 2 and re.search(self.config.hidden, name) is not None

    def _muon(self, tensors: Sequence[Tensor], fused: FusedRows) -> torch.optim.Optimizer:
        c = self.config
        return MuonOptimizer(
            tensors,
            lr=c.lr,
            weight_decay=c.weight_decay,
            momentum=c.momentum,
            nesterov=c.nesterov,
            iterations=c.iterations,
            scale=c.scale,
            fused=fused,
        )


def _trained(parameters: Sequence[tuple[str, nn.Parameter]]) -> list[tuple[str, nn.Parameter]]:
    """Return the parameters that require a gradient. Raises TrainingError if there is none."""
    trained = [(name, tensor) for name, tensor in parameters if tensor.requires_grad]
    if not trained:
        raise TrainingError(
            "There is nothing to train: no parameter of the optimizer requires a gradient (parameters given:"
            f" {len(parameters)}). Unfreeze those to train (`requires_grad_(True)`)."
        )
    return trained


def _adamw(tensors: Sequence[Tensor], c: AdamWConfig) -> torch.optim.Optimizer:
    return torch.optim.AdamW(
        tensors,
        lr=c.lr,
        betas=(c.beta1, c.beta2),
        eps=c.eps,
        weight_decay=c.weight_decay,
        fused=all(tensor.device.type in FUSED_DEVICES for tensor in tensors),
    )
