"""The command `nanogen new-plugin`."""

from __future__ import annotations

from pathlib import Path

import click

from nanogen_scaffold.kinds import KINDS


@click.command()
@click.argument("name")
@click.option("--kind", required=True, metavar="KIND", help=f"Kind of component: {', '.join(KINDS)}.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    default=Path("."),
    help="Folder in which the project is created; by default the current one.",
)
def new_plugin(name: str, kind: str, output: Path) -> None:
    """Create the project nanogen-NAME: a plugin with one working component of a kind, and its tests.

    Nothing is overwritten.
    """
    from nanogen_scaffold.project import new_project

    folder = new_project(name, kind, output)
    component = folder.name.removeprefix("nanogen-")
    module = f"{folder.name.replace('-', '_')}/{'objective' if kind == 'method' else kind}.py"
    click.echo(f"Created {folder} with the {kind} {component!r}. Start in {module}.")
    click.echo("Next:")
    for line in (
        f"cd {folder}",
        'pip install -e ".[test]"    # NanoGen finds the plugin by its entry point',
        "pytest",
        f"nanogen check-plugin {folder.name}",
        'nanogen train example.yaml  # after pip install -e ".[demo]"',
    ):
        click.echo(f"  {line}")
