"""Training at full size on one GPU: images a second, memory and the share of the peak, beside the plain loop."""
