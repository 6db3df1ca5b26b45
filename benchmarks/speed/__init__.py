"""How fast it is: every figure a ratio of two sides that were measured in turn in one process."""
