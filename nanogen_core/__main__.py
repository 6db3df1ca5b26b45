"""`python -m nanogen_core` is `nanogen`."""

from nanogen_core.cli.main import main

main()
