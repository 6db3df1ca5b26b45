"""Collects the tests only if the package is installed."""

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("direction_nanogen") else ["test_*.py"]
