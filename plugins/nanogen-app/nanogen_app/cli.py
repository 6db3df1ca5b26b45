"""The command `nanogen app`."""

from __future__ import annotations

from pathlib import Path

import click

from nanogen_core.cli.options import Number, SavedPipeline
from nanogen_core.validators import at_least

PORT = Number(int, at_least(1, 65_535))


@click.command()
@click.argument("runs", metavar="RUN [RUN2]", type=SavedPipeline(), nargs=-1, required=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 for all.")
@click.option("--port", type=PORT, help="Port to listen on. [default: the first free one from 7860]")
@click.option("--share", is_flag=True, help="Also create a public address through gradio.live.")
@click.option("--device", help="Device of the pipelines, such as cuda. [default: cpu, as `nanogen sample`]")
def app(runs: tuple[Path, ...], host: str, port: int | None, share: bool, device: str | None) -> None:
    """Open a page that generates images with the pipeline in RUN, or with two pipelines side by side.

    A run is a folder or an address hf://user/name. The page shows the images and the states from noise to image. It
    loads nothing from other servers.
    """
    if len(runs) > 2:
        raise click.UsageError(f"The page compares at most two runs, got {len(runs)}. Give one or two.")
    from nanogen_app.generation import LoadedRun
    from nanogen_app.page import page, serve

    loaded = [LoadedRun.load(folder, device=device) for folder in runs]
    server = serve(page(loaded), host=host, port=port, share=share)
    addresses: tuple[str | None, ...] = (server.local_url, server.share_url)
    for address in filter(None, addresses):
        click.echo(f"The page is at {address}. Press Ctrl-C to stop.")
    server.block_thread()
