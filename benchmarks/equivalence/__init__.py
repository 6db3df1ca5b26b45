"""Training equivalence: comparison with recorded validation losses of the published training code."""
