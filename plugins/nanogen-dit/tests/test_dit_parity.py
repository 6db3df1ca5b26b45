"""Recorded cases of the published layout hold to 1e-4. NANOGEN_PARITY_FIXTURES selects another folder."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.parity import LIMIT, cases_in, check_case
from tests.parity.__main__ import VARIABLE, main

from .recorded import CASES, OWN, RECIPE

CHOSEN = cases_in(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else CASES


@pytest.mark.parametrize("path", CHOSEN, ids=lambda path: path.stem)
def test_case_holds(path: Path) -> None:
    report = check_case(path)
    assert report.errors
    assert not report.missing
    for name, error in report.errors.items():
        assert error < LIMIT, name
    if report.waiting:
        pytest.skip(f"waiting for its plugin: {', '.join(report.waiting)}")


def test_every_output_of_a_plain_case_is_checked() -> None:
    report = check_case(OWN / "ddt_label.json")
    assert not report.waiting
    assert len(report.errors) == 9


@pytest.mark.skipif(not RECIPE.exists(), reason="the fixtures of the recipe lie in the repository alone")
def test_every_output_of_the_recipes_networks_is_checked() -> None:
    for name, count in {"ddt_text_null": 14, "lightningdit_reg": 16}.items():
        report = check_case(RECIPE / f"{name}.json")
        assert (len(report.errors), report.missing, report.waiting) == (count, (), ())


def test_an_output_that_nothing_computes_is_a_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    for name in ("ddt_label", "ddt_meanflow"):
        shutil.copy(OWN / f"{name}.json", tmp_path)
        tensors = load_file(OWN / f"{name}.safetensors") | {"out.unknown": torch.ones(1)}
        save_file(tensors, tmp_path / f"{name}.safetensors")
    assert main([str(tmp_path)]) == 1
    lines = capsys.readouterr().out
    assert lines.count("FAILS") == lines.count("NOT COMPUTED: unknown") == 2


def test_an_output_that_was_not_recorded_is_a_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    shutil.copy(OWN / "ddt_label.json", tmp_path)
    tensors = load_file(OWN / "ddt_label.safetensors")
    for name in sorted(name for name in tensors if name.startswith("out.")):
        save_file({other: x for other, x in tensors.items() if other != name}, tmp_path / "ddt_label.safetensors")
        assert main([str(tmp_path)]) == 1
        assert f"NOT RECORDED: {name.removeprefix('out.')}\n" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"config": 3}'])
def test_a_damaged_description_is_one_sentence(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    shutil.copy(OWN / "ddt_label.safetensors", tmp_path)
    (tmp_path / "ddt_label.json").write_text(text)
    assert main([str(tmp_path)]) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert f"FAILS: {tmp_path / 'ddt_label.json'} " in line


def test_a_case_that_cannot_be_read_fails_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    for suffix in ("json", "safetensors"):
        shutil.copy(OWN / f"lightningdit_label.{suffix}", tmp_path)
        shutil.copy(OWN / f"ddt_label.{suffix}", tmp_path)
    (tmp_path / "ddt_label.safetensors").write_bytes(b"damaged")
    assert main([str(tmp_path)]) == 1
    first, second, _ = capsys.readouterr().out.splitlines()
    assert first.startswith("ddt_label")
    assert "FAILS" in first
    assert second.startswith("lightningdit_label")
    assert "holds" in second


def test_average_velocities_wait_for_their_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.parity.checks.MEANFLOW", "nanogen_not_installed")
    report = check_case(OWN / "ddt_meanflow.json")
    assert set(report.errors) == {"model", "u"}
    assert {"v_guided", "du_dt", "loss_adaptive", "sample_nfe2"} <= set(report.waiting)


def test_average_velocities_are_checked_to_the_last() -> None:
    pytest.importorskip("nanogen_meanflow")
    report = check_case(OWN / "ddt_meanflow.json")
    assert not report.waiting
    assert report.holds
    assert len(report.errors) == 9


def test_table_and_exit_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(OWN / "lightningdit_label.json", tmp_path)
    tensors = load_file(OWN / "lightningdit_label.safetensors")
    save_file(tensors, tmp_path / "lightningdit_label.safetensors")
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    assert main([]) == 0
    assert "lightningdit_label" in capsys.readouterr().out
    tensors["ckpt.final_layer.linear.bias"] += 0.1
    save_file(tensors, tmp_path / "lightningdit_label.safetensors")
    assert main([]) == 1
    assert "FAILS" in capsys.readouterr().out


def test_an_empty_folder_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert main([str(tmp_path)]) == 1
    assert "no parity case" in capsys.readouterr().err
    assert main([]) == 1
    assert "no folder of parity cases" in capsys.readouterr().err


def test_wrong_shapes_and_nan_count_as_infinite() -> None:
    from tests.parity.checks import relative_error

    assert relative_error(torch.ones(2), torch.ones(3)) == float("inf")
    assert relative_error(torch.tensor([float("nan")]), torch.ones(1)) == float("inf")
    assert relative_error(torch.zeros(2), torch.zeros(2)) == 0
    assert relative_error(torch.ones(2), torch.zeros(2)) == float("inf")
    assert relative_error(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 4.0])) == 0.5
