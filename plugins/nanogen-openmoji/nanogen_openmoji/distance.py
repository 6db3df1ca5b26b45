"""The metrics `openmoji-frechet` and `openmoji-kid`: distances to the held-out images of the dataset."""

from __future__ import annotations

from nanogen_core.protocols import Dataset, Task
from nanogen_fidelity.held_out import HeldOutFrechet, HeldOutKid
from nanogen_openmoji.classifier import SIZE
from nanogen_openmoji.settings import DistanceConfig

DEFAULT = DistanceConfig()


class Frechet(HeldOutFrechet):
    """`frechet`: the Fréchet distance to all held-out images. They have 64 px, the training size of the classifier."""

    option = "metric.openmoji-frechet.features"

    def __init__(self, config: DistanceConfig = DEFAULT, *, task: Task, dataset: Dataset) -> None:
        super().__init__(config.features, SIZE, task=task, dataset=dataset)


class Kid(HeldOutKid):
    """`kid`: the kernel Inception distance to all held-out images, at 64 px as for `frechet`."""

    option = "metric.openmoji-kid.features"

    def __init__(self, config: DistanceConfig = DEFAULT, *, task: Task, dataset: Dataset) -> None:
        super().__init__(config.features, SIZE, task=task, dataset=dataset)
