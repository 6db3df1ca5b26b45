"""Full-size training on one GPU: speed, memory and share of the peak, compared with the plain loop."""
