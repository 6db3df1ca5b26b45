"""Files of weights: what is read, which set is taken, and every file that is refused in one sentence."""

import argparse
import pickle

import pytest
import torch
from safetensors.torch import save_file

from nanogen_core.errors import DataError
from nanogen_import import choose, read_weights

ANCHOR = "x_embedder.proj.weight"


def state(**more):
    return {ANCHOR: torch.ones(2, 3), "blocks.0.attn.q.weight": torch.full((2, 2), 5.0), **more}


def saved(tmp_path, content):
    torch.save(content, tmp_path / "file.pt")
    return tmp_path / "file.pt"


@pytest.mark.parametrize(
    "wrapped",
    [
        "_orig_mod.{}",
        "module.{}",
        "module._orig_mod.{}",
        "blocks.0._orig_mod.attn.q.weight",
        "blocks.0.module.attn.q.weight",
        "module.blocks.0._orig_mod.attn._orig_mod.q.weight",
    ],
)
@pytest.mark.parametrize("safetensors", [False, True])
def test_wrappers_are_dropped_anywhere_in_a_name(tmp_path, wrapped, safetensors):
    name = "blocks.0.attn.q.weight"
    tensors = {ANCHOR: torch.ones(2), wrapped.format(name): torch.full((2,), 3.0)}
    path = tmp_path / "file"
    save_file(tensors, path) if safetensors else torch.save(tensors, path)
    found = choose(read_weights(path), ANCHOR, "ema").tensors
    assert found.keys() == {ANCHOR, name}
    assert found[name].tolist() == [3.0, 3.0]


def test_a_name_with_and_without_a_wrapper_is_refused(tmp_path):
    path = saved(tmp_path, state(**{f"module.{ANCHOR}": torch.zeros(2, 3)}))
    with pytest.raises(DataError, match=rf"contains {ANCHOR} twice: two names differ only in _orig_mod, module"):
        read_weights(path)


def test_the_set_is_chosen_by_name(tmp_path):
    model = {name: x + 1 for name, x in state().items()}
    file = read_weights(saved(tmp_path, {"model": model, "ema": state(), "step": 7}))
    for name, number in (("ema", 1.0), ("model", 2.0)):
        chosen = choose(file, ANCHOR, name)
        assert (chosen.set, float(chosen.tensors[ANCHOR][0, 0])) == (name, number)
    assert file.values["step"] == 7


def test_a_bare_state_dict_has_a_set_without_a_name(tmp_path):
    assert choose(read_weights(saved(tmp_path, state())), ANCHOR, "model").set is None


def test_a_set_that_is_not_there_is_an_error(tmp_path):
    file = read_weights(saved(tmp_path, {"ema": state()}))
    with pytest.raises(DataError, match="exactly one set of 'model' weights. It contains: ema"):
        choose(file, ANCHOR, "model")
    two = read_weights(saved(tmp_path, {"first": state(), "second": state()}))
    with pytest.raises(DataError, match="It contains: unnamed weights, unnamed weights"):
        choose(two, ANCHOR, "ema")


def test_a_set_without_a_name_is_not_taken_for_another(tmp_path):
    file = read_weights(saved(tmp_path, {"ema": state(), "net": {name: x + 1 for name, x in state().items()}}))
    assert choose(file, ANCHOR, "ema").set == "ema"
    with pytest.raises(DataError, match="exactly one set of 'model' weights. It contains: ema, unnamed weights"):
        choose(file, ANCHOR, "model")


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_numbers_that_are_not_finite_are_named(tmp_path, number, dtype):
    broken = torch.zeros(2, 3, dtype=dtype)
    broken[1, 2] = number
    file = read_weights(saved(tmp_path, {"ema": state(), "model": state(**{"head.bias": broken})}))
    choose(file, ANCHOR, "ema")  # the other set is whole
    with pytest.raises(DataError, match=r"'head\.bias' contains NaN or infinite values \(1 of 6\)"):
        choose(file, ANCHOR, "model")


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ([torch.ones(2)], "a list"),
        ((torch.ones(2),), "a tuple"),
        (torch.ones(2), "one tensor"),
        (None, "None"),
        (7, "an object of type int"),
        ({}, "no tensors: give a file that maps names to tensors"),
        ({"step": 7, "list": [torch.ones(2)]}, "no tensors: give a file that maps names to tensors"),
    ],
)
def test_what_is_no_state_dict_is_refused(tmp_path, content, what):
    with pytest.raises(DataError, match=f"contains {what}") as caught:
        read_weights(saved(tmp_path, content))
    assert "\n" not in str(caught.value)


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("by", ["torch", "pickle"])
@pytest.mark.parametrize("beside", [True, False])
def test_code_is_never_run(tmp_path, by, beside):
    content = {**state(), "bomb": Bomb(tmp_path / "ran")} if beside else Bomb(tmp_path / "ran")
    path = tmp_path / "file.pt"
    torch.save(content, path) if by == "torch" else path.write_bytes(pickle.dumps(content))
    with pytest.raises(DataError, match="contains pickled Python objects"):
        read_weights(path)
    assert not (tmp_path / "ran").exists()


def test_the_arguments_of_a_script_are_plain_values(tmp_path):
    arguments = argparse.Namespace(model="SiT-XL/2", prediction="velocity", cfg_scale=4.0, ckpt=None)
    file = read_weights(saved(tmp_path, {"ema": state(), "args": arguments}))
    assert file.values == {"args.model": "SiT-XL/2", "args.prediction": "velocity", "args.cfg_scale": 4.0}


def test_a_bomb_among_the_arguments_is_refused(tmp_path):
    arguments = argparse.Namespace(bomb=Bomb(tmp_path / "ran"))
    with pytest.raises(DataError, match="contains pickled Python objects"):
        read_weights(saved(tmp_path, {"ema": state(), "args": arguments}))
    assert not (tmp_path / "ran").exists()


def test_files_that_are_missing_or_damaged_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.pt cannot be read: the file does not exist"):
        read_weights(tmp_path / "nowhere.pt")
    with pytest.raises(DataError, match="is a folder"):
        read_weights(tmp_path)
    whole = saved(tmp_path, state()).read_bytes()
    for content in (b"", b"PK\x03\x04", b"\x80\x04", b"not a checkpoint", whole[: len(whole) // 2]):
        path = tmp_path / "broken.pt"
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"broken\.pt is not a valid (safetensors|weight) file"):
            read_weights(path)


def test_values_that_hold_themselves_are_refused(tmp_path):
    content = {"ema": state()}
    content["again"] = content
    with pytest.raises(DataError, match="nested too deeply"):
        read_weights(saved(tmp_path, content))


def test_numbers_of_eight_bits_are_checked_too(tmp_path):
    content = {**state(), ANCHOR: torch.tensor([1.0, float("nan")]).to(torch.float8_e4m3fn)}
    with pytest.raises(DataError, match=r"NaN or infinite values \(1 of 2\)"):
        choose(read_weights(saved(tmp_path, content)), ANCHOR, "ema")
