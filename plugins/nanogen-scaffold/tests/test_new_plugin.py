"""Names that cannot be used are one clear sentence, and nothing is overwritten."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from nanogen_core.errors import NanoGenError
from nanogen_scaffold import project
from nanogen_scaffold.cli.new_plugin import new_plugin
from nanogen_scaffold.kinds import KINDS

REFUSED = {
    "My-Loss": "lower-case words",
    "my_loss": "lower-case words",
    "1st": "lower-case words",
    "": "lower-case words",
    "nanogen-": "lower-case words",
    "../loss": "lower-case words",
    "a" * 33: "at most 32 characters",
    "class": "'class' is a reserved word of Python or YAML",
    "null": "'null' is a reserved word of Python or YAML",
    "exception": "'exception' is a reserved word of Python or YAML",
    "flow": "nanogen-flow already has the objective 'flow'",
    "objective": "'objective' is the name of a kind, section or command",
    "train": "'train' is the name of a kind, section or command",
    "core": "'core' is taken by nanogen-core",
    "jit": "'jit' is taken by nanogen-jit",
    "losses": "would give a class the name Losses, which nanogen_losses/objective.py uses already",
    "plugin": "would give a class the name TestPlugin, which tests/test_contract.py uses already",
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_wrong_name_is_refused_in_one_sentence(name: str, tmp_path: Path) -> None:
    with pytest.raises(NanoGenError) as refused:
        project.new_project(name, "objective", tmp_path)
    assert REFUSED[name] in str(refused.value)
    assert "\n" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_a_class_of_the_template_keeps_its_name(tmp_path: Path) -> None:
    with pytest.raises(NanoGenError, match="would give a class the name Block, which nanogen_block/backbone.py uses"):
        project.new_project("block", "backbone", tmp_path)


@pytest.mark.parametrize(("kind", "hint"), [("objectiv", "Did you mean 'objective'?"), ("dataset", "Kinds: auxiliary")])
def test_an_unknown_kind_is_refused(kind: str, hint: str, tmp_path: Path) -> None:
    with pytest.raises(NanoGenError, match=f"There is no template for the kind '{kind}'") as refused:
        project.new_project("my-loss", kind, tmp_path)
    assert hint in str(refused.value)


@pytest.mark.parametrize("name", ["my-loss", "nanogen-my-loss"])
def test_the_folder_begins_with_nanogen(name: str, tmp_path: Path) -> None:
    assert project.new_project(name, "objective", tmp_path) == tmp_path / "nanogen-my-loss"
    assert (tmp_path / "nanogen-my-loss" / "nanogen_my_loss" / "objective.py").is_file()


@pytest.mark.parametrize("existing", ["folder", "file", "dangling link"])
def test_nothing_is_overwritten(existing: str, tmp_path: Path) -> None:
    target = tmp_path / "nanogen-my-loss"
    if existing == "folder":
        target.mkdir()
    elif existing == "file":
        target.write_text("mine", encoding="utf-8")
    else:
        target.symlink_to(tmp_path / "nowhere")
    with pytest.raises(NanoGenError, match="nanogen-my-loss exists already: remove it, or choose another name"):
        project.new_project("my-loss", "objective", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [target.name]
    assert not target.is_dir() or not list(target.iterdir())


def test_a_folder_without_write_permission_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, *arguments: object) -> None:
        raise PermissionError(13, os.strerror(13), str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(NanoGenError, match=r"Cannot create .*nanogen-my-loss: Permission denied. Choose another"):
        project.new_project("my-loss", "objective", tmp_path)


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(folder: Path, files: object) -> None:
        (folder / "half.py").write_text("", encoding="utf-8")
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(project, "_write", write)
    with pytest.raises(NanoGenError, match="Cannot write into .*: No space left on device"):
        project.new_project("my-loss", "objective", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_command_says_where_to_start(kind: str, tmp_path: Path) -> None:
    ran = CliRunner().invoke(new_plugin, [f"my-{kind}", "--kind", kind, "--output", str(tmp_path)])
    assert ran.exit_code == 0, ran.output
    start = ran.output.partition("Start in ")[2].partition(".\n")[0]
    assert (tmp_path / f"nanogen-my-{kind}" / start).is_file()
    assert "nanogen check-plugin nanogen-my-" in ran.output
