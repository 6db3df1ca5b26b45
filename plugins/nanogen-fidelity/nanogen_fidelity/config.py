"""Options of the feature extractors and metrics. Does not import torch."""

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
        raise ValueError(f"must be a name, or a mapping with `name` and options, got {shown(value)}")


@frozen(kw_only=True)
class InceptionConfig:
    """Options of the features `inception`.

    Args:
        weights: The published file of weights. Default: the one in torch.hub's folder.
    """

    weights: str | None = None


@frozen(kw_only=True)
class VisionConfig:
    """Options of the features from timm models.

    Args:
        weights: A file of weights for the timm model. Default: timm's own from the Hugging Face hub.
        autocast: Whether to run transformers in bfloat16 on a GPU, as for the published scores.
    """

    weights: str | None = None
    autocast: bool = False


@frozen(kw_only=True)
class FrechetConfig:
    """Options of the metric `frechet`.

    Args:
        reference: An `.npz` with moments, features or images, or a folder of images.
        features: The feature space: a component of the kind `features`.
        keep_rows: Whether to store every image's features, for a bootstrap interval.
        extrapolate: Whether to also report the distance for infinitely many images. Needs `keep_rows`.
    """

    reference: str
    features: Any = field(validator=_named)
    keep_rows: bool = True
    extrapolate: bool = False


@frozen(kw_only=True)
class FidConfig:
    """Options of the metric `fid`: the options of `FrechetConfig`, with other defaults.

    Args:
        reference: An `.npz` with moments, features or images, or a folder of images.
        features: The feature space: a component of the kind `features`.
        keep_rows: Whether to store every image's features, for a bootstrap interval. Off by default, because
            50,000 rows of Inception features take 400 MB.
        extrapolate: Whether to also report the distance for infinitely many images. Needs `keep_rows`.
    """

    reference: str
    features: Any = field(default="inception", validator=_named)
    keep_rows: bool = False
    extrapolate: bool = False


@frozen(kw_only=True)
class RfidConfig:
    """Options of the metric `rfid`: the options of `FidConfig`, with an optional reference.

    Args:
        reference: As for `fid`. None: the originals of all reconstructions, which `nanogen evaluate
            --reconstruct` provides. Then only moments are stored.
        features: The feature space: a component of the kind `features`.
        keep_rows: Whether to store every image's features, for a bootstrap interval. Needs `reference`.
        extrapolate: Whether to also report the distance for infinitely many images. Needs `keep_rows`.
    """

    reference: str | None = None
    features: Any = field(default="inception", validator=_named)
    keep_rows: bool = False
    extrapolate: bool = False


@frozen(kw_only=True)
class InceptionScoreConfig:
    """Options of the metric `inception-score`.

    Args:
        variant: The published implementation to follow.
        splits: The number of splits; for `adm`, of images per split. None: the published 10, or 5000 for `adm`.
        features: A feature space with logits.
    """

    variant: Variant = "diffusionbench"
    splits: int | None = field(default=None, validator=validators.optional(at_least(1, 1_000_000)))
    features: Any = field(default="inception", validator=_named)


@frozen(kw_only=True)
class KidConfig:
    """Options of the metric `kid`.

    Args:
        reference: An `.npz` with features or images, or a folder of images.
        features: The feature space.
        subset_size: The number of images per set in a random subset (torch-fidelity: 1000). None: all pairs of images.
        subsets: The number of random subsets.
        seed: The seed of the subsets.
    """

    reference: str
    features: Any = field(default="inception", validator=_named)
    subset_size: int | None = field(default=None, validator=validators.optional(at_least(2, 1_000_000)))
    subsets: int = field(default=100, validator=at_least(1, 1_000_000))
    seed: int = field(default=2020, validator=seed_number)


@frozen(kw_only=True)
class PrdcConfig:
    """Options of the metric `prdc`.

    Args:
        reference: An `.npz` with features or images, or a folder of images.
        features: The feature space.
        k: For precision and recall, an image's ball reaches to its k-th nearest neighbour in its own set.
        density_k: k for density and coverage.
    """

    reference: str
    features: Any = field(default="inception", validator=_named)
    k: int = field(default=3, validator=at_least(1, 10_000))
    density_k: int = field(default=5, validator=at_least(1, 10_000))


def _known_spaces(instance: Any, attribute: Any, value: Iterable[str]) -> None:
    unknown = sorted(set(value) - set(NORMS))
    if unknown:
        raise ValueError(f"unknown space {', '.join(unknown)}; use {', '.join(NORMS)}")


@frozen(kw_only=True)
class Fdr6Config:
    """Options of the metric `fdr6`.

    Args:
        reference: The folder with the published files of statistics, under their published names.
        spaces: The feature spaces. The mean `fdr6` needs all six.
        weights: Files of weights, by space.
    """

    reference: str
    spaces: tuple[str, ...] = field(default=tuple(NORMS), validator=[_known_spaces, validators.min_len(1)])
    weights: Mapping[str, str] = field(factory=dict, validator=_known_spaces)


@frozen(kw_only=True)
class Mind6Config:
    """Options of the metric `mind6`.

    Args:
        reference: An `.npz` with images, a folder of images, or a folder with the features of each space in a file
            `<space>.npz`. For a single space also an `.npz` with its features.
        spaces: The feature spaces.
        weights: Files of weights, by space.
        seed: The seed of the projections.
    """

    reference: str
    spaces: tuple[str, ...] = field(default=tuple(NORMS), validator=[_known_spaces, validators.min_len(1)])
    weights: Mapping[str, str] = field(factory=dict, validator=_known_spaces)
    seed: int = field(default=2020, validator=seed_number)


@frozen(kw_only=True)
class PairedConfig:
    """Options of the metric `ssim`.

    Args:
        reference: The originals: a folder of images, or an `.npz` of images. Images of two folders are paired by name,
            others by order. Originals that come with a batch (`batch.extras["original"]`) take precedence. None: every
            batch must come with its originals.
    """

    reference: str | None = None


@frozen(kw_only=True)
class PsnrConfig(PairedConfig):
    """Options of the metric `psnr`, in addition to those of `PairedConfig`.

    Args:
        dark_quirk: Whether to treat a uint8 image without values above 1 as already in [0, 1], as the published code
            does.
    """

    dark_quirk: bool = False


@frozen(kw_only=True)
class LpipsConfig(PairedConfig):
    """Options of the metric `lpips`, in addition to those of `PairedConfig`.

    Args:
        folder: The folder with the weights of VGG16 and of the LPIPS heads. None: torch.hub's folder.
    """

    folder: str | None = None
