"""Options of the backbones and of path-drop guidance. Does not import torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from attrs import field, frozen, validators

from nanogen_core.errors import ConfigError
from nanogen_core.validators import at_least, decay, guidance_scale, not_below, unit
from nanogen_dit.config import DDTConfig, LightningDiTConfig, Trunk

GROUP = 4  # tokens of a group, 2 x 2

_block = validators.optional(at_least(1, 1000))


@frozen(kw_only=True, slots=False)
class RouteOptions:
    """Options of the route: the blocks of the encoder that process a part of the image tokens in training.

    Args:
        route_from, route_to: First and last block of the route, counted from 1. Null leaves 2 blocks before the route
            and 3 (TREAD) or 2 (SPRINT) after it, or fewer in a shallow encoder.
        share: Share of the image tokens that skip the route, in [0, 1). 0 trains on all tokens.
        selection: How the kept tokens of a sample are drawn. "random": from all image tokens. "groups": equally many
            from each 2 x 2 group of neighbours; this needs an even number of rows and of columns, and a share of 0,
            0.25, 0.5 or 0.75.
    """

    DENSE: ClassVar[tuple[int, int]]

    if TYPE_CHECKING:

        @property
        def trunk(self) -> Trunk:
            """Size of the encoder."""

    route_from: int | None = field(default=None, validator=_block)
    route_to: int | None = field(default=None, validator=_block)
    share: float = field(default=0.5, validator=decay)
    selection: Literal["random", "groups"] = "random"

    @property
    def route(self) -> range:
        """Numbers of the blocks of the route, counted from 1."""
        return self.route_in(self.trunk.depth, self.route_from, self.route_to)

    def route_in(self, depth: int, first: int | None, last: int | None) -> range:
        """Return the route from block `first` to `last` of an encoder with `depth` blocks. None is the default."""
        before, after = self.DENSE
        first = min(before + 1, (depth + 1) // 2) if first is None else first
        last = max(first, depth - after) if last is None else last
        return range(first, last + 1)

    def check_route(self) -> None:
        """Raise ConfigError if the route is empty or leaves the encoder, or the share does not fit 2 x 2 groups."""
        route, depth = self.route, self.trunk.depth
        if not route or route[-1] > depth:
            raise ConfigError(
                f"route_from, route_to: the route must lie in blocks 1 to {depth} and not end before it starts, got"
                f" blocks {route.start} to {route.stop - 1}."
            )
        if self.selection == "groups" and (self.share * GROUP) % 1:
            raise ConfigError(f"share: must be 0, 0.25, 0.5 or 0.75 with `selection: groups`, got {self.share}.")


@frozen(kw_only=True, slots=False)
class TreadOptions(RouteOptions):
    """Options of TREAD.

    By default, as in the public code, half of the image tokens skip all but the first two and last three blocks.
    """

    DENSE: ClassVar[tuple[int, int]] = (2, 3)


@frozen(kw_only=True)
class TreadLightningDiTConfig(LightningDiTConfig, TreadOptions):
    """Options of `TreadLightningDiT`: the options of `LightningDiT` and of TREAD."""

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.check_route()


@frozen(kw_only=True)
class TreadDDTConfig(DDTConfig, TreadOptions):
    """Options of `TreadDDT`: the options of `DDT` and of TREAD."""

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.check_route()


@frozen(kw_only=True, slots=False)
class SprintOptions(RouteOptions):
    """Options of SPRINT.

    By default, as in the paper, 3/4 of the image tokens skip all but the first two and last two blocks.

    Args:
        path_drop: Probability that the output of a sample's deep path (the route) is dropped in training.
    """

    DENSE: ClassVar[tuple[int, int]] = (2, 2)

    share: float = field(default=0.75, validator=decay)
    selection: Literal["random", "groups"] = "groups"
    path_drop: float = field(default=0.1, validator=decay)


@frozen(kw_only=True)
class SprintLightningDiTConfig(LightningDiTConfig, SprintOptions):
    """Options of `SprintLightningDiT`: the options of `LightningDiT` and of SPRINT."""

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.check_route()


@frozen(kw_only=True)
class SprintDDTConfig(DDTConfig, SprintOptions):
    """Options of `SprintDDT`: the options of `DDT` and of SPRINT."""

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.check_route()


@frozen(kw_only=True)
class PathDropConfig:
    """Options of `PathDrop`.

    Args:
        scale: Guidance scale w; 1 means no guidance.
        t_min, t_max: Sampling steps that start in [t_min, t_max] are guided.
    """

    scale: float = field(default=3.0, validator=guidance_scale)
    t_min: float = field(default=0.0, validator=unit)
    t_max: float = field(default=1.0, validator=[unit, not_below("t_min")])
