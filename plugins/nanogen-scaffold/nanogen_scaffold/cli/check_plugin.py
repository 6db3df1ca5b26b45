"""The command `nanogen check-plugin`."""

from __future__ import annotations

import json
import sys

import click

from nanogen_core.cli.options import overrides
from nanogen_scaffold.checks.report import Report


@click.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option(
    "--leave-out",
    "left_out",
    multiple=True,
    metavar="TEXT",
    help="Leave out the checks whose group or name contains TEXT, such as types; repeatable. The report lists them.",
)
@overrides
def check_plugin(name: str, as_json: bool, left_out: tuple[str, ...], settings: tuple[str, ...]) -> None:
    """Check a plugin: NAME is an installed distribution, a plugin, a component or a method.

    Checks the manifest, the contract of each component, the types of the package, and short trainings on imagenet and
    t2i (for a task: on itself), with small components and generated images. --set changes these components, such as
    --set backbone.name=lightning-dit --set backbone.size=tiny. The status is 1 if a check fails.
    """
    from nanogen_core.cli.options import override_layer
    from nanogen_scaffold.checks.check import check_plugin as check

    report = check(name, settings=override_layer(settings), left_out=left_out)
    click.echo(json.dumps(report.as_dict(), indent=2) if as_json else _table(report))
    if report.failed:
        sys.exit(1)


def _table(report: Report) -> str:
    width = max(len(check.group) for check in report.checks)
    lines = [f"{report.distribution} {report.version}"]
    for check in report.checks:
        lines.append(f"  {check.state:<8}  {check.group:<{width}}  {check.name}")
        lines += [f"            {line}" for line in check.reason.splitlines()]
    return "\n".join([*lines, report.summary()])
