"""Lengths of condition sequences in training.

torch.compile makes one graph for the first length and one for all others, whose length is dynamic. CUDA graphs
(`train.compile: max-autotune`) have a fixed length each, so few lengths must occur.
"""

BUCKETS = 8  # few enough for one CUDA graph each; on average 1/16 of the longest length is padding


def bucket_length(length: int, longest: int) -> int:
    """Round `length` up to a multiple of ceil(longest / 8), but at most to `longest`."""
    size = -(-longest // BUCKETS)
    return min(longest, -(-length // size) * size)
