"""The features `inception`: Inception-v3 with the published weights of FID."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from nanogen_fidelity.config import InceptionConfig
from nanogen_fidelity.extractor import Extractor
from nanogen_fidelity.inception_network import SIDE, WIDTH, InceptionNetwork
from nanogen_fidelity.weights import hub_file
from nanogen_files.hashing import file_hash
from nanogen_files.weights import load_exactly, read_weights

#: The files of torch-fidelity (release v0.2.0) and pytorch-fid.
FILES = ("weights-inception-2015-12-05-6726825d.pth", "pt_inception-2015-12-05-6726825d.pth")
NETWORK = "the FID network (published by torch-fidelity and pytorch-fid)"
COUNTERS = "num_batches_tracked"  # batch normalisation counters: in some files only, and unused in evaluation mode


class Inception(Extractor):
    """Inception-v3: 2048 features, and 1008 logits without bias."""

    width = WIDTH
    outputs = ("features", "logits")

    def __init__(self, config: InceptionConfig):
        super().__init__()
        self.config = config

    @cached_property
    def file(self) -> Path:
        """The file of weights. Raises DataError if it is missing."""
        return hub_file(self.config.weights, FILES, NETWORK)

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        weights = file_hash(self.file)
        return {"network": "inception-v3-compat", "weights": weights, "size": SIDE, "resize": "bilinear TF1"}

    def load(self) -> nn.Module:
        network = InceptionNetwork()
        fill(network, read_weights(self.file), self.file)
        return network

    def forward_features(self, network: nn.Module, pixels: Tensor) -> Sequence[Tensor]:
        outputs: Sequence[Tensor] = network(pixels)
        return outputs


def fill(network: InceptionNetwork, state: Mapping[str, Tensor], source: Path) -> None:
    """Load published weights into a network. Raises DataError for the weights of another network."""
    own = network.state_dict()
    counters = {name: value for name, value in own.items() if name.endswith(COUNTERS)}
    given = {name: value for name, value in state.items() if not name.endswith(COUNTERS)}
    load_exactly(network, {**counters, **given}, expected=own, source=source)
