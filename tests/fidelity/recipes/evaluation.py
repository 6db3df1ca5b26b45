"""Metrics of a recipe, as the field `evaluation` of a published row."""

from __future__ import annotations

from typing import Any

from nanogen_core.assembly import Assembly
from nanogen_core.config import combine, resolve

#: task -> data set -> published metric -> (metric, required default options, options that a user sets).
METRICS: dict[str, dict[str, dict[str, tuple[str, dict[str, Any], dict[str, Any]]]]] = {
    "imagenet": {
        "imagenet": {
            "fid": ("fid", {"features": "inception"}, {"reference": "statistics.npz"}),
            "inception_score": ("inception-score", {"variant": "diffusionbench", "features": "inception"}, {}),
        }
    },
    "t2i": {
        "geneval": {"geneval": ("geneval", {"detector": "mask2former", "metadata": None}, {})},
        "dpgbench": {"dpgbench": ("dpgbench", {}, {})},
        "genaibench": {"vqascore_clip-flant5-xxl": ("genaibench", {"model": "clip-flant5-xxl"}, {})},
    },
}


def evaluation(parts: Assembly) -> dict[str, list[str]]:
    """Return the published names of the recipe's metrics for each dataset."""
    configuration = parts.resolved.as_dict()
    sets = METRICS[parts.resolved.task].items()
    return {
        data: [name for name, metric in metrics.items() if _is_supported(configuration, *metric)]
        for data, metrics in sets
    }


def _is_supported(configuration: dict[str, Any], name: str, defaults: dict[str, Any], given: dict[str, Any]) -> bool:
    """Whether the recipe supports the metric, and its defaults are the published options."""
    config = resolve(combine(configuration, {"metric": {name: given}})).groups["metric"][name].config
    return all(getattr(config, option) == value for option, value in defaults.items())
