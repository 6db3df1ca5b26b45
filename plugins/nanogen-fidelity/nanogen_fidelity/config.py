"""The options of extractors and metrics. Loads no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from attrs import field, frozen, validators

from nanogen_core.errors import shown
from nanogen_core.validators import at_least, seed_number
from nanogen_fidelity.spaces import NORMS

Variant = Literal["diffusionbench", "torch-fidelity", "adm"]


def _named(instance: Any, attribute: Any, value: object) -> None:
    if not isinstance(value, (str, Mapping)):
        raise ValueError(f"must be a name, or a mapping with a name and options, got {shown(value)}")


@frozen(kw_only=True)
class InceptionConfig:
    """`weights`: the published file; by default that in torch.hub's folder."""

    weights: str | None = None


@frozen(kw_only=True)
class VisionConfig:
    """`weights`: a file that timm reads; by default what timm gets by the model's name. `autocast`: bfloat16 on a GPU,
    as the published scores were made."""

    weights: str | None = None
    autocast: bool = False


@frozen(kw_only=True)
class FrechetConfig:
    """`reference`: an `.npz` with moments, features or images, or a folder of images. `keep_rows`: for an interval.
    `extrapolate`: also the distance of infinitely many images."""

    reference: str
    features: Any = field(validator=_named)
    keep_rows: bool = True
    extrapolate: bool = False


@frozen(kw_only=True)
class FidConfig:
    """As FrechetConfig, in the space of the FID network: 50,000 rows would take 400 MB."""

    reference: str
    features: Any = field(default="inception", validator=_named)
    keep_rows: bool = False
    extrapolate: bool = False


@frozen(kw_only=True)
class RfidConfig:
    """As FidConfig; without a `reference`, what is evaluated brings its originals (`nanogen evaluate --reconstruct`),
    of which moments alone are kept."""

    reference: str | None = None
    features: Any = field(default="inception", validator=_named)
    keep_rows: bool = False
    extrapolate: bool = False


@frozen(kw_only=True)
class InceptionScoreConfig:
    """`splits`: how many, but for `adm`, where it is the size of a split. None: as published (10, and 5000)."""

    variant: Variant = "diffusionbench"
    splits: int | None = field(default=None, validator=validators.optional(at_least(1, 1_000_000)))
    features: Any = field(default="inception", validator=_named)


@frozen(kw_only=True)
class KidConfig:
    """`subset_size`: of random subsets, as torch-fidelity takes 100 of 1000; None: all pairs, without chance."""

    reference: str
    features: Any = field(default="inception", validator=_named)
    subset_size: int | None = field(default=None, validator=validators.optional(at_least(2, 1_000_000)))
    subsets: int = field(default=100, validator=at_least(1, 1_000_000))
    seed: int = field(default=2020, validator=seed_number)


@frozen(kw_only=True)
class PrdcConfig:
    """`k`: neighbours for precision and recall; `density_k`: for density and coverage."""

    reference: str
    features: Any = field(default="inception", validator=_named)
    k: int = field(default=3, validator=at_least(1, 10_000))
    density_k: int = field(default=5, validator=at_least(1, 10_000))


def _known_spaces(instance: Any, attribute: Any, value: Iterable[str]) -> None:
    unknown = sorted(set(value) - set(NORMS))
    if unknown:
        raise ValueError(f"names no space with {', '.join(unknown)}; there are {', '.join(NORMS)}")


@frozen(kw_only=True)
class Fdr6Config:
    """`reference`: the folder with the six published files of statistics. `weights`: files by space."""

    reference: str
    spaces: tuple[str, ...] = field(default=tuple(NORMS), validator=[_known_spaces, validators.min_len(1)])
    weights: Mapping[str, str] = field(factory=dict, validator=_known_spaces)


@frozen(kw_only=True)
class Mind6Config:
    """`reference`: an `.npz` or a folder of images. `weights`: files by space."""

    reference: str
    spaces: tuple[str, ...] = field(default=tuple(NORMS), validator=[_known_spaces, validators.min_len(1)])
    weights: Mapping[str, str] = field(factory=dict, validator=_known_spaces)
    seed: int = field(default=2020, validator=seed_number)


@frozen(kw_only=True)
class PairedConfig:
    """`reference`: the originals, an `.npz` or a folder of images in the same order; None where what is evaluated
    brings them (`batch.extras["original"]`)."""

    reference: str | None = None


@frozen(kw_only=True)
class PsnrConfig(PairedConfig):
    """`dark_quirk`: an image without a byte above 1 counts as if it were in [0, 1] already, as published."""

    dark_quirk: bool = False


@frozen(kw_only=True)
class LpipsConfig(PairedConfig):
    """`folder`: where the weights of VGG16 and of the heads lie; None: torch.hub's."""

    folder: str | None = None
