"""Releases: build, check, install and describe all distributions. `python -m release --help`."""
