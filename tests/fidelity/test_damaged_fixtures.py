"""A damaged or incomplete fixture fails with exit status 1 and one sentence that names the fault."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.fidelity.__main__ import FIXTURES, VARIABLE, main

QUICK = ("pe_grid_core", "stage1_diffaug", "stage1_discriminator", "stage1_heads", "stage1_seen", "text_encoder_tiny")
ALL = (*QUICK, "pe_grid_lang", "stage1_losses", "stage1_step", "networks/ddt_text_null", "networks/lightningdit_reg")


@pytest.fixture
def measured(tmp_path, monkeypatch, capsys):
    """Run `make fidelity` on a changed copy of one fixture. Return the exit status and the printed lines."""
    monkeypatch.setenv(VARIABLE, str(tmp_path))

    def run(name, tensors=lambda found: found, text=lambda content: content):
        beside = tmp_path / f"{name}.safetensors"
        beside.parent.mkdir(exist_ok=True)
        save_file(tensors(load_file(FIXTURES / f"{name}.safetensors")), beside)
        (tmp_path / f"{name}.json").write_text(text((FIXTURES / f"{name}.json").read_text()))
        if (FIXTURES / name).is_dir():
            shutil.copytree(FIXTURES / name, tmp_path / name, dirs_exist_ok=True)
        status = main([])
        return status, capsys.readouterr().out.splitlines()

    return run


def outputs(name):
    return [key for key in load_file(FIXTURES / f"{name}.safetensors") if key.startswith(("out.", "after."))]


def with_nan(tensor):
    changed = tensor.clone()
    changed.view(-1)[-1] = torch.nan
    return changed


@pytest.mark.parametrize("name", ALL)
def test_unchanged_fixtures_hold(name, measured):
    assert measured(name)[0] == 0


@pytest.mark.parametrize(("name", "output"), [(name, output) for name in QUICK for output in outputs(name)[:8]])
def test_an_output_that_is_missing_is_named(name, output, measured):
    status, lines = measured(name, lambda found: {key: x for key, x in found.items() if key != output})
    assert status == 1
    assert f"lacks '{output}'." in lines[-1]


@pytest.mark.parametrize("name", ["networks/ddt_text_null", "networks/lightningdit_reg"])
def test_an_output_of_a_network_that_is_missing_is_named(name, measured):
    status, lines = measured(name, lambda found: {key: x for key, x in found.items() if key != "out.sample_x"})
    assert status == 1
    assert "sample_x (not recorded)" in lines[1]


@pytest.mark.parametrize("name", ALL)
def test_an_output_that_no_check_computes_is_named(name, measured):
    status, lines = measured(name, lambda found: found | {"out.unheard_of": torch.ones(2)})
    assert status == 1
    assert any("unheard_of" in line for line in lines)


@pytest.mark.parametrize("name", ALL)
def test_numbers_that_are_not_finite_are_named(name, measured):
    first = next(key for key, x in load_file(FIXTURES / f"{name}.safetensors").items() if x.is_floating_point())
    status, lines = measured(name, lambda found: found | {first: with_nan(found[first])})
    assert status == 1
    assert f"'{first.removeprefix('ckpt.')}' contains NaN or infinite values" in lines[-1].replace("ckpt.", "")


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("text", ["", "{", "[1]"])
def test_a_damaged_description_is_one_sentence(name, text, measured):
    status, lines = measured(name, text=lambda content: text)
    assert status == 1
    assert len(lines) == 1
    assert f"{name}.json" in lines[0].partition("FAILS: ")[2]


@pytest.mark.parametrize("name", ALL)
def test_a_half_file_of_tensors_is_one_sentence(name, measured, tmp_path, capsys):
    measured(name)
    whole = tmp_path / f"{name}.safetensors"
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    assert main([]) == 1
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "FAILS" in line]
    assert f"{name}.safetensors is " in line


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        ("novelty.json", "UNKNOWN KIND: the name must begin with one of init, "),
        ("stage1_seen.safetensors", "UNKNOWN KIND: these tensors have no stage1_seen.json beside them"),
        ("training_curve_ddt.safetensors", "UNKNOWN KIND: these tensors have no training_curve_ddt.json"),
    ],
)
def test_an_unknown_kind_is_named(file, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    (tmp_path / file).write_text(json.dumps({}))
    assert main([]) == 1
    assert sentence in capsys.readouterr().out


@pytest.mark.parametrize("folder", ["empty", "missing"])
def test_a_folder_without_fixtures_is_an_error(folder, tmp_path, monkeypatch, capsys):
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv(VARIABLE, str(tmp_path / folder))
    assert main([]) == 1
    assert f"There is no fixture (NAME.json) in {tmp_path / folder}" in capsys.readouterr().err
