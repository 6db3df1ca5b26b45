"""What the importer of a backbone gives back, and how it says what the tensors do not decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from nanogen_core.errors import DataError
from nanogen_core.specs import ConditionSpec, LatentSpec
from nanogen_import.weights import WeightsFile


class Unrecognised(DataError):
    """The file is of another layout than this importer reads."""


class Undecided(NamedTuple):
    """A choice that a checkpoint's tensors do not make.

    Attributes:
        what: a word for it, such as `prediction`.
        slot: the slot or group of the configuration that makes it.
        options: options of the slot's component. One of those that the component has must be given.
        by_method: whether a `method:` makes the choice too.
        by_recipe: whether a recipe or a published configuration makes it.
        null: whether the value null makes the choice.
    """

    what: str
    slot: str
    options: tuple[str, ...] = ()
    by_method: bool = False
    by_recipe: bool = True
    null: bool = False


class Checkpoint(Protocol):
    """A checkpoint that was read and checked.

    Attributes:
        state: tensors of the backbone by their names here.
        latent: the latent it was trained on; the factor is not known.
        condition: the condition it was trained on.
        wanted: capability words that the backbone was built for, such as `two-time`.
        structural: every capability word that such a file can show.
        suggested: the part of a configuration that the file decides: task, backbone with its options.
        configured: what else is said of it: by a published configuration, or in the file beside the tensors.
        configured_by: who says that, where it is not the published configuration.
        undecided: what the tensors do not decide.
        hint: a sentence that begins with a space, for the error where something is left open.
        weights: the set of weights that was taken, or None where the file has one set without a name.
        notes: what else was decided, one line each.
    """

    state: Mapping[str, Tensor]
    latent: LatentSpec
    condition: ConditionSpec
    wanted: frozenset[str]
    structural: frozenset[str]
    suggested: Mapping[str, Any]
    configured: Mapping[str, Any]
    configured_by: str | None
    hint: str
    undecided: Sequence[Undecided]
    weights: str | None
    notes: Sequence[str]

    def conflicts(self, configuration: Mapping[str, Any]) -> list[str]:
        """Return a few words for each option of a configuration that contradicts the file, with both values."""


class Importer(Protocol):
    """The function that a backbone's Component names as its `importer`.

    Args:
        file: the contents of the file.
        weights: "ema" or "model".
        architecture: the mapping that describes the network, where there is one (JSON).
        configuration: a configuration of another program, whose keys the importer knows.

    Raises:
        Unrecognised: the file is of another layout.
        DataError: the file is of this layout, and wrong.
        ConfigError: the configuration is wrong, or contradicts the file.
    """

    def __call__(
        self,
        file: WeightsFile,
        *,
        weights: str,
        architecture: Mapping[str, Any] | None,
        configuration: Mapping[str, Any] | None,
    ) -> Checkpoint: ...
