"""Frozen descriptions: of a latent, of a condition, and of what a plugin offers. Importing this loads no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from attrs import field, frozen, validators

TOKEN_STRIDE = 16  # image pixels under one backbone token: 32x32 latents of a 256 px image get patch 2, pixels 16
REFERENCE_DIMENSION = 4096  # the latent of the SD-VAE at 256 px, for which the time shift is 1


@frozen
class LatentSpec:
    """The shape of one latent: `channels` x `height` x `width`, one cell for `factor` x `factor` image pixels."""

    channels: int
    height: int
    width: int
    factor: int = 1
    cls_token_width: int = 0  # width of the class token that is diffused too (REG); 0: none

    @property
    def shape(self) -> tuple[int, int, int]:
        return (self.channels, self.height, self.width)

    @property
    def dimension(self) -> int:
        """C * h * w."""
        return self.channels * self.height * self.width

    @property
    def time_shift(self) -> float:
        """s = sqrt(C h w / 4096): larger latents need more noise to lose as much of their signal."""
        return float((self.dimension / REFERENCE_DIMENSION) ** 0.5)

    @property
    def patch_size(self) -> int:
        """Latent cells along one side of a backbone token, so that a token covers 16 x 16 image pixels."""
        return max(1, TOKEN_STRIDE // self.factor)


@frozen
class ConditionSpec:
    """The shape of a condition: at most `length` tokens of `width`, and how a backbone takes them in.

    A class label is one one-hot token (then projecting it is the embedding table, exactly), to which `learned`
    tokens are added; a text is `length` encoder states, normalised first and padded.
    """

    width: int
    length: int
    learned: int = 0  # learned tokens that the projected token is added to; 0: none, the tokens go in as they are
    normalize: bool = False  # RMSNorm before the projection
    padded: bool = False  # whether conditions come with a mask, which is all false for the null condition


@frozen(kw_only=True)
class Kind:
    """A kind of component.

    Args:
        name: The `kind` of its components, and the configuration's key for a slot or a group.
        place: A configuration holds one component in a "slot" and any number in a "group". A "named" component has no
            key of its own: the options of other components name it.
        protocol: `"module:Class"`, which its components conform to.
        module: Whether a component is a `torch.nn.Module` as well.
        keyword: What constructors call the components of a group; by default the kind's name.
        required: Whether every configuration has one (slots only).
        default: The component of a slot where nobody names another.
    """

    name: str = field(validator=validators.matches_re(r"[a-z][a-z0-9_]*"))
    place: Literal["slot", "group", "named"] = field(validator=validators.in_(("slot", "group", "named")))
    protocol: str | None = None
    module: bool = False
    keyword: str = ""
    required: bool = False
    default: str | None = None

    @property
    def argument(self) -> str:
        """The keyword by which a constructor asks for it."""
        return self.keyword or self.name


def _words(words: Iterable[str]) -> frozenset[str]:
    return frozenset(words)


def _words_by_kind(needs: Mapping[str, Iterable[str]]) -> Mapping[str, frozenset[str]]:
    return {kind: frozenset(words) for kind, words in needs.items()}


@frozen(kw_only=True)
class Component:
    """One thing that a plugin offers, named by strings so that nothing is imported until it is built.

    `target` is `"module:Class"`, called as `Class(config, **parts)` where `parts` are those of its keyword parameters
    that name another part (`latent`, `condition`, `task` ...). `config` is `"module:AttrsClass"` or None.
    `provides` are capability words; `needs` maps another kind to the words that its component must provide.
    `defaults` is a partial configuration that comes along when the component is chosen, below the user's own.
    `excludes` names kinds whose slot stays empty beside this component: a stage that trains no backbone has none.
    """

    kind: str
    name: str
    target: str
    config: str | None = None
    summary: str = ""
    provides: frozenset[str] = field(default=frozenset(), converter=_words)
    needs: Mapping[str, frozenset[str]] = field(factory=dict, converter=_words_by_kind)
    defaults: Mapping[str, Any] = field(factory=dict)
    excludes: frozenset[str] = field(default=frozenset(), converter=_words)
    importer: str | None = None  # `"module:function"` that reads published checkpoints of this component


@frozen(kw_only=True)
class Method:
    """A ready combination: `defaults` is a partial configuration, `per_task` what differs for one task."""

    name: str
    summary: str = ""
    defaults: Mapping[str, Any] = field(factory=dict)
    per_task: Mapping[str, Mapping[str, Any]] = field(factory=dict)
