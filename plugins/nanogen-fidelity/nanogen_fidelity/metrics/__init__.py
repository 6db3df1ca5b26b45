"""The metrics of image fidelity."""
