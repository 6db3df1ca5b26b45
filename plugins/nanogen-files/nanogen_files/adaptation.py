"""Adaptation of pretrained weights to a network: the optional method `adapt_state` of modules, and functions for it.

`train.init` copies each pretrained tensor that has the name and shape of a tensor of the network. A module that must
convert weights defines `adapt_state(state, origin)`. The method returns an `Adapted` for each tensor that is converted
or keeps its initial value (fresh).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from attrs import field, frozen
from torch import Tensor, nn

Action = Literal["taken", "renamed", "resized", "grown", "zeroed", "fresh"]


class Adapted(NamedTuple):
    """The initial value of one tensor of a module.

    `value` has the shape of the module's tensor; None keeps the value that the module was built with. `sources` names
    the pretrained tensors that `value` is computed from; the names are relative to the module. The report of
    `train.init` counts tensors by `action` and quotes `note`, a sentence.
    """

    value: Tensor | None
    action: Action
    sources: Sequence[str] = ()
    note: str = ""


FRESH = Adapted(None, "fresh")


@frozen(kw_only=True)
class Origin:
    """What is known about pretrained weights.

    Args:
        options: Options of the backbone that the weights are from, with its `name`. Empty if unknown.
        latent: Shape [C, h, w] of the latents that the weights were trained on. None if unknown.
        same_condition: Whether the weights were trained with the conditioner, text encoder and classes of the new
            model, so that condition tokens keep their meaning. True if unknown.
    """

    options: Mapping[str, Any] = field(factory=dict)
    latent: tuple[int, ...] | None = None
    same_condition: bool = True


@runtime_checkable
class Adaptable(Protocol):
    """A module that adapts pretrained weights, such as a backbone or one of its blocks."""

    def adapt_state(self, state: Mapping[str, Tensor], origin: Origin) -> Mapping[str, Adapted]:
        """Return an `Adapted` for each tensor of this module that is not simply copied, by the name of the tensor.

        An outer module takes precedence over the modules inside it. All other tensors are copied by name and shape.

        Args:
            state: The pretrained tensors of this module. Their names are relative to the module.
            origin: What is known about the pretrained weights.
        """


def fresh(module: nn.Module) -> dict[str, Adapted]:
    """Return `FRESH` for every tensor of a module: all of them keep their initial values."""
    return dict.fromkeys(module.state_dict(), FRESH)


def zeroed(module: nn.Module, *names: str) -> dict[str, Adapted]:
    """Return zeros for the tensors in the submodules `names` of a module."""
    own = module.state_dict()
    return {n: Adapted(torch.zeros_like(own[n]), "zeroed") for n in own if n.startswith(tuple(f"{p}." for p in names))}


def renamed(module: nn.Module, state: Mapping[str, Tensor], old: str, new: str) -> dict[str, Adapted]:
    """Return the tensors `new.*` of a module with the values of `old.*` in `state`.

    A tensor is fresh if its counterpart in `state` is missing or has another shape.
    """
    action: Action = "taken" if old == new else "renamed"
    found = {}
    for name, tensor in module.state_dict().items():
        if name.startswith(f"{new}."):
            source = old + name.removeprefix(new)
            fits = source in state and state[source].shape == tensor.shape
            found[name] = Adapted(state[source], action, (source,)) if fits else FRESH
    return found


def grown(old: Tensor, new: Tensor) -> Tensor:
    """Return a copy of `new` with its leading corner replaced by `old`, a smaller tensor with as many dimensions."""
    found = new.clone()
    found[tuple(slice(0, size) for size in old.shape)] = old
    return found


def resize_positions(table: Tensor, old: tuple[int, int], new: tuple[int, int]) -> Tensor:
    """Resize a learned position table [..., rows * columns, D] to another grid by bicubic interpolation.

    Args:
        table: Positions, row-major. Leading dimensions are kept.
        old, new: (rows, columns) of the table, and of the result.
    """
    lead, width = table.shape[:-2], table.shape[-1]
    image = table.reshape(-1, *old, width).permute(0, 3, 1, 2).float()
    resized = F.interpolate(image, new, mode="bicubic", align_corners=False)
    return resized.permute(0, 2, 3, 1).reshape(*lead, new[0] * new[1], width).to(table.dtype)
