"""These tests are of the installed package: without it there is nothing to collect."""

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("contrastive_nanogen") else ["test_*.py"]
