"""The command `python -m release.wheel_tests`: run each distribution's tests in an environment of its own.

An environment has the wheel of one distribution, what the wheel declares, and the dependency group `test` of its
`pyproject.toml`. Other wheels of this repository are installed only if one of these requires them. The tests are copied
to a folder outside the checkout.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
from attrs import frozen
from uv import find_uv_bin

from release.owners import files_of
from release.projects import ROOT, Project, build, projects

SUMMARY = "short test summary info"


@frozen
class Result:
    """Result of one distribution: `passed`, `failed` or `no tests`, and pytest's last line or the error."""

    name: str
    state: str
    about: str


@click.command()
@click.argument("names", nargs=-1)
@click.option("--wheels", type=click.Path(path_type=Path), help="Folder with the wheels. Default: build them.")
@click.option("--constraint", type=click.Path(exists=True, path_type=Path), help="Versions of other packages.")
@click.option("--python", default=sys.executable, help="Python of the environments. Default: the running one.")
@click.option("--select", "-k", default="", help="Expression that selects tests, as pytest's option -k.")
@click.option("--keep", is_flag=True, help="Keep the environments and print their folder.")
def main(
    names: tuple[str, ...], wheels: Path | None, constraint: Path | None, python: str, select: str, keep: bool
) -> None:
    """Install the wheel of each distribution alone, and run its tests. NAMES: all by default.

    Exits with 1 if a test fails.
    """
    known = {project.name: project for project in projects()}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SystemExit(f"Error: there is no distribution {unknown[0]!r}. Known: {', '.join(known)}.")
    folder = Path(tempfile.mkdtemp(prefix="nanogen-wheels-"))
    folder.chmod(0o755)  # some tests run as another user
    try:
        if wheels is None:
            wheels = folder / "wheels"
            for project in known.values():
                build(project, wheels)
        results = []
        for name in names or known:
            results.append(attempt(known[name], wheels.resolve(), folder, constraint, python, select))
            click.echo(f"{name}: {results[-1].state} ({results[-1].about})")
    finally:
        if keep:
            click.echo(f"Environments: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    if any(result.state == "failed" for result in results):
        sys.exit(1)


def attempt(
    project: Project,
    wheels: Path,
    folder: Path,
    constraint: Path | None = None,
    python: str = sys.executable,
    select: str = "",
) -> Result:
    """Install one wheel with its tests' requirements into a new environment, and run its tests there.

    Args:
        project: The distribution.
        wheels: Folder with the wheels of this repository.
        folder: Folder outside the checkout for environment and tests.
        constraint: File with versions of other packages.
        python: Python of the environment.
        select: Expression for pytest's option `-k`.
    """
    home = folder / project.name
    files = files_of(project)
    if not files:
        return Result(project.name, "no tests", "it has no tests of its own")
    for source in files:
        target = home / source.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
    (home / "pytest.ini").write_text("[pytest]\naddopts = --import-mode=importlib -q\n", encoding="utf-8")
    uv, inside = find_uv_bin(), home / "environment" / "bin" / "python"
    install = [uv, "pip", "install", "--quiet", "--python", str(inside)]
    install += ["--constraint", str(constraint)] if constraint else []
    install += [str(project.file(wheels, ".whl")), *project.test_requirements]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
    environment["UV_FIND_LINKS"] = ",".join(filter(None, [str(wheels), os.environ.get("UV_FIND_LINKS", "")]))
    environment["PATH"] = f"{inside.parent}{os.pathsep}{environment['PATH']}"
    test = [
        str(inside),
        "-m",
        "pytest",
        "-rfE",
        "--tb=short",
        "--durations=5",
        *(["-k", select] if select else []),
    ]
    steps = (
        ("the environment cannot be made", [uv, "venv", "--quiet", "--python", python, str(inside.parents[1])]),
        ("the wheel cannot be installed", install),
        ("the packages do not agree", [uv, "pip", "check", "--quiet", "--python", str(inside)]),
        ("tests fail", test),
    )
    start = time.monotonic()
    for sentence, words in steps:
        done = subprocess.run(words, capture_output=True, text=True, cwd=home, env=environment)
        if done.returncode:
            (home / "output.txt").write_text(done.stdout + done.stderr, encoding="utf-8")
            said = (done.stdout.partition(SUMMARY)[2] or done.stdout + done.stderr).strip(" =\n")
            return Result(project.name, "failed", f"{sentence}: {said[-3000:]}")
    line = done.stdout.strip().splitlines()[-1].strip("= ")
    shutil.rmtree(inside.parents[1])
    return Result(project.name, "passed", f"{line}; {time.monotonic() - start:.0f} s with the installation")


if __name__ == "__main__":
    main()
