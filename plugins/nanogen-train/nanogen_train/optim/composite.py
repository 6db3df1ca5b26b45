"""An optimizer that consists of several optimizers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


class CompositeOptimizer(torch.optim.Optimizer):
    """Optimizer whose members step together.

    Shares the parameter groups of the members. So a learning rate that is set here applies to the members. The state
    dict is indexed by the order of `parameters`.

    Args:
        parameters: The parameters of all members.
        members: The optimizers. Each parameter belongs to exactly one of them.
    """

    def __init__(self, parameters: Sequence[Tensor], members: Sequence[torch.optim.Optimizer]):
        self.parameters = list(parameters)
        self.members = list(members)
        super().__init__([group for member in self.members for group in member.param_groups], {})

    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Step every member. `closure` is not supported."""
        assert closure is None, "a closure would be called once for each member"
        for member in self.members:
            member.step()

    def state_dict(self) -> dict[str, Any]:
        """Return one state dict for all members, in torch's format, indexed by the order of `parameters`."""
        states = {parameter: state for member in self.members for parameter, state in member.state.items()}
        indices = enumerate(self.parameters)
        groups = [{**group, "params": self._indices(group)} for group in self.param_groups]
        return {"state": {index: states[p] for index, p in indices if p in states}, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Load the result of `state_dict`."""
        groups = iter(state_dict["param_groups"])
        for member in self.members:
            self._load(member, [next(groups) for _ in member.param_groups], state_dict["state"])
        self.param_groups = [group for member in self.members for group in member.param_groups]

    def _load(self, member: torch.optim.Optimizer, groups: list[Any], state: Mapping[int, Any]) -> None:
        """Load a member, which indexes its parameters from 0, group by group."""
        indices = [index for group in groups for index in group["params"]]
        counter = iter(range(len(indices)))
        groups_of_member = [{**group, "params": [next(counter) for _ in group["params"]]} for group in groups]
        states = {local_index: state[index] for local_index, index in enumerate(indices) if index in state}
        member.load_state_dict({"state": states, "param_groups": groups_of_member})

    def _indices(self, group: Mapping[str, Any]) -> list[int]:
        index_of = {id(tensor): index for index, tensor in enumerate(self.parameters)}
        return [index_of[id(tensor)] for tensor in group["params"]]
