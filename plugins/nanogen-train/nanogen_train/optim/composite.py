"""Several torch optimisers that look like one, to the loop and to its checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


class Together(torch.optim.Optimizer):
    """`members` share out `parameters` among themselves and step together.

    Its groups are the members' own, so that a learning rate set here is theirs. The state is numbered by the order of
    `parameters`, whichever member a parameter belongs to.
    """

    def __init__(self, parameters: Sequence[Tensor], members: Sequence[torch.optim.Optimizer]):
        self.parameters = list(parameters)
        self.members = list(members)
        super().__init__([group for member in self.members for group in member.param_groups], {})

    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """One step of each member from the gradients that lie there. Takes no closure."""
        assert closure is None, "a closure would be called once for each member"
        for member in self.members:
            member.step()

    def state_dict(self) -> dict[str, Any]:
        """Like that of one optimiser: `state` by the place of the parameter, `param_groups` with these places."""
        states = {parameter: state for member in self.members for parameter, state in member.state.items()}
        places = enumerate(self.parameters)
        groups = [{**group, "params": self._places(group)} for group in self.param_groups]
        return {"state": {place: states[p] for place, p in places if p in states}, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Puts back what `state_dict` gave."""
        groups = iter(state_dict["param_groups"])
        for member in self.members:
            self._load(member, [next(groups) for _ in member.param_groups], state_dict["state"])
        self.param_groups = [group for member in self.members for group in member.param_groups]

    def _load(self, member: torch.optim.Optimizer, groups: list[Any], state: Mapping[int, Any]) -> None:
        """A member numbers its parameters from 0, group after group."""
        places = [place for group in groups for place in group["params"]]
        numbers = iter(range(len(places)))
        own = [{**group, "params": [next(numbers) for _ in group["params"]]} for group in groups]
        found = {number: state[place] for number, place in enumerate(places) if place in state}
        member.load_state_dict({"state": found, "param_groups": own})

    def _places(self, group: Mapping[str, Any]) -> list[int]:
        order = {id(tensor): place for place, tensor in enumerate(self.parameters)}
        return [order[id(tensor)] for tensor in group["params"]]
