"""Runs the `nanogen` command line: `python -m nanogen_core`."""

from nanogen_core.cli.main import main

main()
