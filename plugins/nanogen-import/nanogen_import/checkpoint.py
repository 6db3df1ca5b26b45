"""Interface of a backbone's importer: the imported checkpoint, and options that its tensors do not determine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from nanogen_core.errors import DataError
from nanogen_core.specs import ConditionSpec, LatentSpec
from nanogen_import.weights import WeightsFile


class Unrecognised(DataError):
    """The importer does not recognise the layout of the file."""


class Undecided(NamedTuple):
    """A choice that the tensors of a checkpoint do not determine.

    Attributes:
        what: Name of the choice for messages, such as `prediction`.
        slot: Slot or group to which the choice belongs.
        options: Names of options that make the choice. The user sets one that the slot's component has.
        by_method: Whether a `method:` also makes the choice.
        by_recipe: Whether a recipe or published configuration also makes the choice.
        null: Whether null is a valid choice.
    """

    what: str
    slot: str
    options: tuple[str, ...] = ()
    by_method: bool = False
    by_recipe: bool = True
    null: bool = False


class Checkpoint(Protocol):
    """A checkpoint after reading and checking.

    Attributes:
        state: Tensors of the backbone, with NanoGen's names.
        latent: Shape of the latents in training. Its `factor` is unknown.
        condition: Shape of the conditions in training.
        wanted: Capabilities of the backbone, such as `two-time`.
        structural: All capabilities that can be recognised in such a file.
        suggested: Configuration that the tensors determine: task, backbone with its options, and possibly conditioner.
        configured: Configuration from a published configuration file, or from values in the checkpoint.
        configured_by: Source of `configured`, for messages; None for the published configuration.
        undecided: Choices that the tensors do not determine.
        hint: Sentence for the error about missing choices, beginning with a space; empty if there is none.
        weights: Chosen set of weights; None if the file has one unnamed set.
        notes: Other decisions, one line each.
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
        """Return a short text for each configured option that contradicts the file. The text has both values."""


class Importer(Protocol):
    """Function that reads a checkpoint. `Component.importer` of a backbone references it.

    Args:
        file: Contents of the file.
        weights: Set of weights to read, "ema" or "model".
        architecture: Description of the network from a JSON file; None if there is none.
        configuration: Published configuration in the format of another program; None if there is none.

    Raises:
        Unrecognised: The file has another layout.
        DataError: The file has the layout of this importer, but its contents are wrong.
        ConfigError: The configuration is wrong, or contradicts the file.
    """

    def __call__(
        self,
        file: WeightsFile,
        *,
        weights: str,
        architecture: Mapping[str, Any] | None,
        configuration: Mapping[str, Any] | None,
    ) -> Checkpoint: ...
