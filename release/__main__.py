"""The command `python -m release`: build, check, install and describe all distributions."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from release import checks
from release.environments import attempt, environments
from release.projects import Project, build, projects


@click.command()
@click.option("--output", type=click.Path(path_type=Path), default=Path("dist"), show_default=True)
@click.option(
    "--environment", "names", multiple=True, help="Install in this environment only; repeatable. `none` for no."
)
def main(output: Path, names: tuple[str, ...]) -> None:
    """Build wheels and sdists, check and install them, and write the release notes. Exits with 1 if a check fails."""
    found = projects()
    known = environments()
    unknown = [name for name in names if name not in (*known, "none")]
    if unknown:
        raise SystemExit(f"Error: there is no environment {unknown[0]!r}. Known: {', '.join(known)}, none.")
    if output.is_dir() and any(output.iterdir()):
        raise SystemExit(f"Error: {output} is not empty: remove it, or choose another --output.")
    for project in found:
        build(project, output)
    click.echo(f"Built {len(found)} wheels and {len(found)} sdists in {output}.")
    problems = list(_problems(found, output))
    for problem in problems:
        click.echo(f"Problem: {problem}")
    failed = bool(problems)
    for name in names or known:
        if name != "none":
            outcome = attempt(name, known[name], output, Path("build") / "environments" / name)
            click.echo(f"Environment {name}: {outcome.state} ({outcome.about}).")
            failed |= outcome.state == "failed" or (outcome.state == "left out" and name in names)
    if failed:
        sys.exit(1)
    notes = output / "NOTES.md"
    notes.write_text(checks.notes(found[0].version), encoding="utf-8")
    click.echo(f"Release notes: {notes}. `twine upload {output}/*.whl {output}/*.tar.gz` publishes.")


def _problems(found: list[Project], output: Path) -> Iterator[str]:
    yield from checks.versions(found)
    yield from checks.metadata(sorted([*output.glob("*.whl"), *output.glob("*.tar.gz")]))
    for project in found:
        yield from checks.contents(project, project.file(output, ".whl"), project.file(output, ".tar.gz"))
        yield from checks.licences(project)


if __name__ == "__main__":
    main()
