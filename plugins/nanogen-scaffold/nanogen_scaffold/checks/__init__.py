"""Checks of an installed plugin."""
