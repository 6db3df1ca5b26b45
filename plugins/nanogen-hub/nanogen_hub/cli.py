"""The commands `nanogen push` and `nanogen export`."""

from __future__ import annotations

from pathlib import Path

import click

from nanogen_core.cli.options import SEED, SavedPipeline


@click.command()
@click.argument("run", type=SavedPipeline())
@click.argument("name", metavar="USER/NAME")
@click.option("--licence", "--license", "licence", help="Licence of the weights, such as apache-2.0 or cc-by-sa-4.0.")
@click.option("--licence-name", "--license-name", "licence_name", help="Name of the licence, with --licence other.")
@click.option("--private", is_flag=True, help="Create the repository as private.")
@click.option("--revision", help="Branch to upload to. [default: main]")
@click.option(
    "--include-frozen", is_flag=True, help="Also upload frozen models in local folders. Check their licences."
)
@click.option("--seed", type=SEED, default=0, show_default=True, help="Seed of the sample sheet.")
@click.option("--message", help="Commit message.")
@click.option(
    "--dry-run", type=click.Path(path_type=Path), metavar="FOLDER", help="Write the files to FOLDER, and upload none."
)
def push(
    run: Path,
    name: str,
    licence: str | None,
    licence_name: str | None,
    private: bool,
    revision: str | None,
    include_frozen: bool,
    seed: int,
    message: str | None,
    dry_run: Path | None,
) -> None:
    """Upload the pipeline of RUN to the Hugging Face hub as USER/NAME, with a model card made from the run.

    The card has the configuration, facts about the training data, the scores of scores.json, licences and a sample
    sheet.
    """
    from nanogen_core.pipeline import Pipeline
    from nanogen_hub.licence import read_licence
    from nanogen_hub.push import CARD

    read_licence(licence, licence_name)  # reports a mistake before the pipeline is loaded
    written = Pipeline.load(run).push_to_hub(
        name,
        run=run,
        licence=licence,
        licence_name=licence_name,
        include_frozen=include_frozen,
        seed=seed,
        private=private,
        revision=revision,
        message=message,
        dry_run=dry_run,
    )
    if dry_run is None:
        click.echo(written)
    else:
        click.echo(f"Nothing was uploaded. The files are in {dry_run}: {dry_run / CARD} is the model card.")


@click.command()
@click.argument("run", type=SavedPipeline())
@click.option("--diffusers", type=click.Path(path_type=Path), required=True, metavar="FOLDER", help="Output folder.")
def export(run: Path, diffusers: Path) -> None:
    """Write the pipeline of RUN as a folder that diffusers loads with trust_remote_code=True."""
    from nanogen_core.pipeline import Pipeline

    folder = Pipeline.load(run).to_diffusers(diffusers)
    click.echo(f'{folder}: DiffusionPipeline.from_pretrained("{folder}", trust_remote_code=True)')
