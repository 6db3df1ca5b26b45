"""The metrics `photos-frechet` and `photos-kid`: distances to the held-out images of the dataset."""

from __future__ import annotations

from nanogen_core.protocols import Dataset, Task
from nanogen_fidelity.held_out import HeldOutFrechet, HeldOutKid
from nanogen_photos.config import DistanceConfig


class Frechet(HeldOutFrechet):
    """`frechet`: the Fréchet distance to all held-out images."""

    option = "metric.photos-frechet.features"

    def __init__(self, config: DistanceConfig, *, task: Task, dataset: Dataset) -> None:
        super().__init__(config.features, config.size, task=task, dataset=dataset)


class Kid(HeldOutKid):
    """`kid`: the kernel Inception distance to all held-out images."""

    option = "metric.photos-kid.features"

    def __init__(self, config: DistanceConfig, *, task: Task, dataset: Dataset) -> None:
        super().__init__(config.features, config.size, task=task, dataset=dataset)
