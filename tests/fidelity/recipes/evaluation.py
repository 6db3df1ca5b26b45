"""By which metrics a recipe can be judged, as the field `evaluation` of a published row."""

from __future__ import annotations

from typing import Any

from nanogen_core.assembly import Assembly
from nanogen_core.config import combine, resolve

#: task -> data set -> published metric -> (ours, options that it must have by default, options that a user gives).
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
    """The published names of the metrics that the recipe can be judged by, for each data set."""
    written = parts.resolved.as_dict()
    sets = METRICS[parts.resolved.task].items()
    return {data: [name for name, metric in metrics.items() if _judges(written, *metric)] for data, metrics in sets}


def _judges(written: dict[str, Any], name: str, defaults: dict[str, Any], given: dict[str, Any]) -> bool:
    """Whether the metric goes with the recipe, and is the published one unless its user says otherwise."""
    config = resolve(combine(written, {"metric": {name: given}})).groups["metric"][name].config
    return all(getattr(config, option) == value for option, value in defaults.items())
