"""The templates contain tests of generated projects, which are not tests of this project."""

collect_ignore = ["nanogen_scaffold/templates"]
