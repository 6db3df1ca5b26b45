"""Estimates of a run's requirements without a GPU, data or weights, by tracing one step with fake tensors."""
