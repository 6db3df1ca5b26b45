"""Reading and writing the published layout, and errors of invalid files."""

from __future__ import annotations

import json
import pickle
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from attrs import evolve
from safetensors.torch import load_file, save_file
from torch import Tensor

from nanogen_core.errors import DataError, NanoGenError
from nanogen_core.specs import ConditionSpec, LatentSpec
from nanogen_dit.config import DDTConfig, LightningDiTConfig
from nanogen_dit.ddt import DDT
from nanogen_dit.lightning_dit import LightningDiT
from nanogen_dit.published import export_published, import_published, infer, read_checkpoint, read_published
from nanogen_dit.published.layout import entries

from .recorded import CASES

FILES = {path.stem: path.with_suffix(".safetensors") for path in CASES}


def _tensors(name: str) -> dict[str, Tensor]:
    found = load_file(FILES[name])
    return {key.removeprefix("ckpt."): x for key, x in found.items() if key.startswith("ckpt.")}


def _shapes(tensors: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(x.shape) for name, x in tensors.items()}


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_export_is_the_inverse_of_import(path: Path) -> None:
    published = read_published(path.with_suffix(".safetensors"), json.loads(path.read_text()))
    network = published.build()
    exported, expected = export_published(network), _tensors(path.stem)
    assert {entry.ours for entry in entries(network)} == network.state_dict().keys()
    assert exported.keys() | published.beside.keys() == expected.keys()
    for name, x in exported.items():
        exact = "rope." not in name
        assert torch.equal(x, expected[name]) if exact else torch.allclose(x, expected[name], atol=1e-5), name


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_shapes_alone_determine_the_architecture(path: Path) -> None:
    config = json.loads(path.read_text())
    depth = {key: config["config"][key] for key in ("base_model_depth",) if key in config["config"]}
    if path.stem.startswith("lightningdit_text"):
        depth |= {"input_size": config["config"]["input_size"]}
    shapes = _shapes(_tensors(path.stem))
    assert infer(shapes, depth) == infer(shapes, config)
    assert infer(shapes, config).latent.shape == tuple(config["latent"])


def test_settings_for_a_configuration_file() -> None:
    settings, state = import_published(FILES["ddt_reg_repa"])
    assert settings == {
        "name": "ddt",
        "hidden": 48,
        "heads": 3,
        "depth": 3,
        "mlp_ratio": 4.0,
        "patch_size": 2,
        "time_tokens": 3,
        "decoder_hidden": 32,
        "decoder_heads": 2,
        "decoder_depth": 1,
    }
    assert all(x.dtype == torch.float32 for x in state.values())


def test_capability_words_come_from_the_tensors() -> None:
    wanted = {path.stem: infer(_shapes(_tensors(path.stem)), json.loads(path.read_text())).wanted for path in CASES}
    assert wanted["ddt_meanflow"] == {"two-time"}
    assert wanted["ddt_reg_repa"] == {"cls-token"}
    assert wanted["ddt_internal_guidance"] == {"internal-head"}
    assert wanted["lightningdit_reg"] == {"cls-token"}
    assert wanted["ddt_text"] == set()


def test_an_unusual_mlp_ratio_is_found() -> None:
    tensors = _tensors("lightningdit_label")
    for name in [name for name in tensors if ".mlp." in name]:
        rows = name.endswith("w3.weight")
        tensors[name] = tensors[name][:, :60] if rows else tensors[name][:60] if "w3" not in name else tensors[name]
    ratio = infer(_shapes(tensors)).settings["mlp_ratio"]
    assert int(2 / 3 * ratio * 32) == 60


LATENT = LatentSpec(6, 8, 8, cls_token_width=5)
LABEL = ConditionSpec(width=4, length=1, learned=2)
TEXT = ConditionSpec(width=9, length=7, normalize=True, padded=True)
PLAIN = LightningDiTConfig(hidden=48, depth=2, heads=3, patch_size=4, time_tokens=2, internal_head_depth=1)
EQUAL = DDTConfig(hidden=48, depth=2, heads=3, decoder_hidden=48, decoder_depth=2, decoder_heads=2, patch_size=2)


@pytest.mark.parametrize("condition", [LABEL, TEXT], ids=["label", "text"])
@pytest.mark.parametrize("latent", [LATENT, evolve(LATENT, cls_token_width=0)], ids=["token", "plain"])
@pytest.mark.parametrize(
    "wanted",
    [frozenset(), frozenset({"two-time"}), frozenset({"two-time", "cfg-conditioned"})],
    ids=["one time", "two times", "cfg-conditioned"],
)
@pytest.mark.parametrize(("network", "config"), [(LightningDiT, PLAIN), (DDT, EQUAL)], ids=["lightning-dit", "ddt"])
def test_every_combination_survives_a_round_trip(
    tmp_path: Path, network: Any, config: Any, latent: LatentSpec, condition: ConditionSpec, wanted: frozenset[str]
) -> None:
    made = network(config, latent=latent, condition=condition, wanted=wanted)
    save_file(export_published(made), tmp_path / "made.safetensors")
    beside = {"base_model_depth": 1, "input_size": 8, "cond_arch": {"num_c_tokens": 7}}
    found = read_published(tmp_path / "made.safetensors", beside)
    again = found.build()
    assert found.architecture.latent == latent
    assert found.architecture.condition == condition
    assert wanted <= found.architecture.wanted
    for name, x in again.state_dict().items():
        assert torch.equal(x, made.state_dict()[name])


# -- files -----------------------------------------------------------------------------------------------------------


def _saved(folder: Path, tensors: dict[str, Tensor]) -> Path:
    """A file of the published code. EMA and model differ in W."""
    ema = {f"module.{name}": x for name, x in tensors.items()}
    model = {name: x + 1 if name == "t_embedder.W" else x for name, x in tensors.items()}
    path = folder / "checkpoint.pt"
    optimizer = {"state": {0: {"step": torch.tensor(7.0)}}, "param_groups": [{"lr": 2e-4}]}
    torch.save({"model": model, "ema": ema, "opt": optimizer, "step": 7, "epoch": 1}, path)
    return path


def test_a_file_of_torch_save_holds_model_and_ema(tmp_path: Path) -> None:
    tensors = _tensors("lightningdit_label")
    path = _saved(tmp_path, tensors)
    ema, model = read_checkpoint(path), read_checkpoint(path, "model")
    assert ema.tensors.keys() == model.tensors.keys() == tensors.keys()
    assert torch.equal(ema.tensors["t_embedder.W"] + 1, model.tensors["t_embedder.W"])
    assert ema.meta == {"step": 7, "epoch": 1}
    assert read_published(path).backbone == "lightning-dit"


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "ckpt."])
def test_bare_state_dicts_with_wrappers_prefixes(tmp_path: Path, prefix: str) -> None:
    tensors = {f"{prefix}{name}": x for name, x in _tensors("ddt_label").items()}
    torch.save(tensors, tmp_path / "bare.pt")
    save_file(tensors, tmp_path / "bare.safetensors")
    for name in ("bare.pt", "bare.safetensors"):
        assert read_published(tmp_path / name, weights="model").backbone == "ddt"


def test_missing_weights_are_an_error(tmp_path: Path) -> None:
    torch.save({"model": _tensors("ddt_label")}, tmp_path / "model.pt")
    with pytest.raises(DataError, match="does not contain exactly one set of 'ema' weights. It contains: model"):
        read_checkpoint(tmp_path / "model.pt")


class _Bomb:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path("exploded"),))


@pytest.mark.parametrize("legacy", [True, False], ids=["pickle", "zip"])
def test_a_pickle_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, legacy: bool) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "bomb.pt"
    if legacy:
        path.write_bytes(pickle.dumps({"model": _Bomb()}))
    else:
        torch.save({"model": _Bomb()}, path)
    with pytest.raises(DataError, match="contains pickled Python objects or is corrupt. It is not loaded"):
        read_checkpoint(path)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_truncated_file_is_one_sentence(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"cut{suffix}"
    tensors = _tensors("lightningdit_label")
    torch.save(tensors, path) if suffix == ".pt" else save_file(tensors, path)
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(DataError, match=r"cut\.\w+ is not a valid (safetensors|weight) file: .*[^.]\.$"):
        read_checkpoint(path)


def test_other_wrong_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the file does not exist"):
        read_checkpoint(tmp_path / "absent.pt")
    (tmp_path / "empty.pt").touch()
    with pytest.raises(DataError, match="is not a valid safetensors file"):
        read_checkpoint(tmp_path / "empty.pt")
    save_file({"weight": torch.ones(1)}, tmp_path / "other.safetensors")
    with pytest.raises(DataError, match=r"contains no network of DiffusionBench: the tensor x_embedder"):
        read_checkpoint(tmp_path / "other.safetensors")


def test_unknown_missing_and_misshaped_tensors_are_named(tmp_path: Path) -> None:
    tensors = _tensors("ddt_label")
    tensors["surprise"] = torch.ones(1)
    tensors["final_layer.linear.bias"] = torch.ones(5)
    del tensors["blocks.1.attn.v.weight"], tensors["s_projector.bias"]
    save_file(tensors, tmp_path / "odd.safetensors")
    with pytest.raises(DataError) as caught:
        read_published(tmp_path / "odd.safetensors")
    sentence = str(caught.value)
    assert "missing: blocks.1.attn.v.weight, s_projector.bias; unknown: surprise" in sentence
    assert "misshaped: final_layer.linear.bias [5] instead of [4]" in sentence


def test_the_configuration_must_agree_and_complete_the_shapes() -> None:
    with pytest.raises(DataError, match=r"has num_heads \[4, 4\], but the tensors have \[2, 3\]"):
        infer(_shapes(_tensors("ddt_label")), {"num_heads": [4, 4]})
    with pytest.raises(DataError, match="has input_size 32, but the tensors have 8"):
        infer(_shapes(_tensors("ddt_label")), {"input_size": 32})
    with pytest.raises(DataError, match=r"has patch_size \[2, 2\], but the tensors have \[1, 1\]"):
        infer(_shapes(_tensors("ddt_label")), {"patch_size": [2, 2]})
    with pytest.raises(DataError, match="Set `base_model_depth`"):
        infer(_shapes(_tensors("ddt_internal_guidance")))
    with pytest.raises(NanoGenError, match=r"x_embedder\.proj\.weight is missing"):
        infer({})


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("s_embedder.proj.weight", (16, 4)),
        ("blocks.0.attn.q_norm.weight", (0,)),
        ("t_embedder.learnable_tokens", ()),
        ("ctx_embedder.learnable_tokens", ()),
    ],
)
def test_a_tensor_without_an_axis_is_named(name: str, shape: tuple[int, ...]) -> None:
    shapes = {**_shapes(_tensors("ddt_label")), name: shape}
    with pytest.raises(DataError, match=re.escape(f"{name} of the checkpoint has the shape {[*shape]}. Its axis")):
        infer(shapes)


def test_a_decoder_without_modulation_is_named() -> None:
    shapes = {name: shape for name, shape in _shapes(_tensors("ddt_label")).items() if "adaln_modulation" not in name}
    with pytest.raises(DataError, match=r"blocks.N.adaln_modulation.1.weight is missing. Use a published checkpoint"):
        infer(shapes)
