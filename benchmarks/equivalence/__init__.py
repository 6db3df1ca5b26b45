"""Training equivalence: our training against recorded validation losses of the published training code."""
