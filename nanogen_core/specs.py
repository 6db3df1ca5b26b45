"""Frozen descriptions of latents, conditions and the components that a plugin offers. Does not import torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from attrs import field, frozen, validators

TOKEN_STRIDE = 16  # image pixels per backbone token and side: patch size 2 for latents with factor 8, 16 for pixels
REFERENCE_DIMENSION = 4096  # 4 x 32 x 32, the SD-VAE latent at 256 px; its time shift is 1


@frozen
class LatentSpec:
    """Shape of one latent.

    `LatentSpec(channels=4, height=32, width=32, factor=8)` is the SD-VAE latent of a 256 px image.

    Args:
        channels: C.
        height: h, in latent cells.
        width: w, in latent cells.
        factor: Side of a latent cell in image pixels.
        cls_token_width: Width of the class token that is diffused with the latent (REG); 0 for none.
    """

    channels: int
    height: int
    width: int
    factor: int = 1
    cls_token_width: int = 0

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, h, w)."""
        return (self.channels, self.height, self.width)

    @property
    def dimension(self) -> int:
        """Number of values in a latent, C * h * w."""
        return self.channels * self.height * self.width

    @property
    def time_shift(self) -> float:
        """Time shift s = sqrt(C h w / 4096). Larger latents need more noise for an equal effective SNR."""
        return float((self.dimension / REFERENCE_DIMENSION) ** 0.5)

    @property
    def patch_size(self) -> int:
        """Default patch size in latent cells: 16 image pixels per side, rounded down, but at least one cell."""
        return max(1, TOKEN_STRIDE // self.factor)


@frozen
class ConditionSpec:
    """Shape of a condition, and how a backbone embeds it.

    Labels: `ConditionSpec(width=1001, length=1, learned=8)`. Each label is a one-hot token, so the backbone's input
    projection acts as an embedding table. Texts: `ConditionSpec(width=1024, length=256, normalize=True, padded=True)`.

    Args:
        width: D, width of a condition token.
        length: Largest number of tokens L.
        learned: Number of learned tokens in the backbone; the projected label is added to each. 0: the projected
            condition tokens are used directly.
        normalize: Whether the backbone applies RMSNorm before the projection.
        padded: Whether conditions have a mask. The mask of the null condition is all false.
    """

    width: int
    length: int
    learned: int = 0
    normalize: bool = False
    padded: bool = False


@frozen(kw_only=True)
class Kind:
    """A kind of component, such as "tokenizer".

    Args:
        name: `Component.kind` of its components. Also the configuration key of a slot or group.
        place: "slot": a configuration selects one component. "group": it selects any number. "named": the kind has no
            configuration key; options of other components name its components (`build_named`).
        protocol: `"module:Class"` of the protocol that components must implement.
        module: Whether components must be `torch.nn.Module`s.
        keyword: Constructor parameter that receives the components of a group. Defaults to `name`.
        required: Whether every configuration must fill the slot, unless a component excludes it.
        default: Component of the slot if a configuration selects none.
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
        """Constructor parameter that receives components of this kind."""
        return self.keyword or self.name


def _words(words: Iterable[str]) -> frozenset[str]:
    return frozenset(words)


def _words_by_kind(needs: Mapping[str, Iterable[str]]) -> Mapping[str, frozenset[str]]:
    return {kind: frozenset(words) for kind, words in needs.items()}


@frozen(kw_only=True)
class Component:
    """A component that a plugin offers. Strings reference its code, which is imported on first use.

    Args:
        kind: Name of its Kind.
        name: Name in configurations: lower-case words with hyphens.
        target: `"module:Class"`, called as `Class(config, **parts)`. `parts` are the keyword-only parameters of the
            constructor that name other parts (`latent`, `condition`, `task`, ...).
        config: `"module:AttrsClass"` of its options. None without options: the constructor then takes no `config`.
        summary: One line for `nanogen plugins`.
        provides: Capabilities of this component.
        needs: Kind -> capabilities that the selected component of that kind must provide.
        defaults: Partial configuration that applies when this component is selected. User settings override it.
        excludes: Kinds whose slot is left empty with this component, such as `backbone` for a stage that uses none.
        importer: `"module:function"` that reads published checkpoints of this component; None without one.
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
    importer: str | None = None


@frozen(kw_only=True)
class Method:
    """A named combination of components, selected by `method: NAME`.

    Args:
        name: Name in configurations.
        summary: One line for `nanogen plugins`.
        defaults: Partial configuration. User settings override it.
        per_task: Task name -> partial configuration that overrides `defaults` for this task.
    """

    name: str
    summary: str = ""
    defaults: Mapping[str, Any] = field(factory=dict)
    per_task: Mapping[str, Mapping[str, Any]] = field(factory=dict)
