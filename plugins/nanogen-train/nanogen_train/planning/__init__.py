"""Estimate what a run requires, by tracing one step with fake tensors. Needs no GPU, data or weights."""
