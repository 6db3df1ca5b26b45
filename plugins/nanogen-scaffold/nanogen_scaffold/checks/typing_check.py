"""Checks the types of a package with mypy."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from nanogen_scaffold.checks.report import FAILED, LEFT_OUT, Check

TYPES, MYPY = "types", "mypy --strict"
CONFIG = Path(__file__).parent / "mypy.ini"
SHOWN = 10  # lines of mypy in a report


def check_types(module: str) -> Check:
    """Run `mypy --strict` on the top-level package or module that contains the manifest `module`.

    The check is left out if mypy is not installed or the package has no `py.typed`.
    """
    if find_spec("mypy") is None:
        return Check(TYPES, MYPY, LEFT_OUT, "mypy is not installed: run `pip install mypy`.")
    package = module.partition(".")[0]
    origin = getattr(sys.modules[package], "__file__", None)
    if origin is None:
        return Check(TYPES, MYPY, FAILED, f"The package {package} has no __init__.py. Add one.")
    path = Path(origin)
    path = path.parent if path.name == "__init__.py" else path
    if path.is_dir() and not (path / "py.typed").is_file():
        reason = f"{package} has no file py.typed, so type checkers of other code ignore its types. Add an empty one."
        return Check(TYPES, MYPY, LEFT_OUT, reason)
    lines = mypy_errors([path])
    if not lines:
        return Check(TYPES, MYPY)
    more = [f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    return Check(TYPES, MYPY, FAILED, "\n".join([*lines[:SHOWN], *more]))


def mypy_errors(paths: Sequence[Path]) -> list[str]:
    """Return the lines that `mypy --strict` reports about `paths`: files, or folders of packages.

    Imported modules without types are ignored.
    """
    command = [sys.executable, "-m", "mypy", "--strict", "--ignore-missing-imports", "--follow-imports=silent"]
    command += [f"--config-file={CONFIG}", "--no-warn-unused-configs"]
    command += ["--no-error-summary", "--no-pretty", "--no-color-output", *map(str, paths)]
    ran = subprocess.run(command, capture_output=True, text=True, env=_environment())
    if not ran.returncode:
        return []
    return (ran.stdout + ran.stderr).strip().splitlines() or [f"mypy ended with status {ran.returncode}."]


def _environment() -> dict[str, str]:
    """Return the environment with the import path of this process, without what mypy finds by itself."""
    own = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    folders = [path for path in sys.path if path and os.path.isdir(path) and path not in own]
    folders = [path for path in folders if Path(path).name not in ("lib-dynload", "site-packages", "dist-packages")]
    return {**os.environ, "MYPYPATH": os.pathsep.join(folders)}
