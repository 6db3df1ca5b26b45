"""Clean environments: the distributions on the oldest and newest supported Python and dependencies."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import yaml
from attrs import field, frozen
from packaging.requirements import Requirement
from uv import find_uv_bin

from release.projects import projects

FILE = Path(__file__).with_name("environments.yaml")
PROGRAM = Path(__file__).with_name("smoke.py")
VERSIONS = ("torch", "diffusers", "transformers", "numpy")
EXTRAS = "nanogen-openmoji[demo]"  # what `smoke.py` trains with


@frozen(kw_only=True)
class Environment:
    """An environment of `environments.yaml`.

    Attributes:
        python: Version of Python, such as "3.10".
        resolution: `lowest-direct` for the oldest declared dependencies, `highest` for the newest.
        pinned: Requirements that hold in this environment, such as "torch==2.9.1".
    """

    python: str
    resolution: str = "highest"
    pinned: tuple[str, ...] = field(default=(), converter=tuple)


@frozen
class Outcome:
    """Result of an environment: `passed`, `failed` or `left out`, with versions or a reason."""

    name: str
    state: str
    about: str


def environments(file: Path = FILE) -> dict[str, Environment]:
    return {name: Environment(**options) for name, options in yaml.safe_load(file.read_text(encoding="utf-8")).items()}


def attempt(name: str, environment: Environment, wheels: Path, place: Path) -> Outcome:
    """Install all wheels into a new environment, import every module there, and train both tasks for two steps.

    Args:
        name: Name of the environment.
        environment: Its versions.
        wheels: Folder with the wheels.
        place: Folder for the environment; an existing one is replaced.
    """
    uv = find_uv_bin()
    words = [uv, "python", "find", environment.python]
    found = subprocess.run(words, capture_output=True, text=True, env={**os.environ, **_every_pyenv_version()})
    if found.returncode:
        reason = found.stderr.strip().partition("\n")[0]
        return Outcome(name, "left out", f"there is no Python {environment.python}: {reason}")
    python = found.stdout.strip()
    place = place.resolve()  # the commands run in its folder
    shutil.rmtree(place, ignore_errors=True)
    pinned = place.with_suffix(".txt")
    pinned.parent.mkdir(parents=True, exist_ok=True)
    pinned.write_text("\n".join(environment.pinned), encoding="utf-8")
    inside = place / "bin" / "python"
    install = [uv, "pip", "install", "--quiet", "--python", str(inside), "--resolution", environment.resolution]
    install += ["--constraint", str(pinned), *map(str, sorted(wheels.glob("*.whl"))), *_bounded(), EXTRAS, "pytest"]
    steps = (
        ("the environment cannot be made", [uv, "venv", "--quiet", "--python", python, str(place)]),
        ("the wheels cannot be installed", install),
        ("the packages do not agree", [uv, "pip", "check", "--quiet", "--python", str(inside)]),
        ("a check fails", [str(inside), str(PROGRAM), *VERSIONS]),
    )
    for sentence, words in steps:
        done = subprocess.run(words, capture_output=True, text=True, cwd=place.parent)
        if done.returncode:
            return Outcome(name, "failed", f"{sentence}: {(done.stdout + done.stderr).strip()[-3000:]}")
    return Outcome(name, "passed", done.stdout.strip().splitlines()[-1])


def _every_pyenv_version() -> dict[str, str]:
    """Return the variable that makes pyenv's commands find each installed Python. Empty without pyenv."""
    if shutil.which("pyenv") is None:
        return {}
    listed = subprocess.run(["pyenv", "versions", "--bare"], capture_output=True, text=True)
    return {"PYENV_VERSION": ":".join(listed.stdout.split())}


def _bounded() -> list[str]:
    """Return the bounded requirements of all distributions: `lowest-direct` applies to these only."""
    lines = sorted({line for project in projects() for line in project.table["dependencies"]})
    return [line for line in lines if (one := Requirement(line)).specifier and not one.name.startswith("nanogen")]
