"""Lengths of condition sequences in training."""

BUCKETS = 8  # few enough for one compiled graph each; on average 1/16 of the longest length is padding


def bucket_length(length: int, longest: int) -> int:
    """Round `length` up to a multiple of ceil(longest / 8), but at most to `longest`."""
    size = -(-longest // BUCKETS)
    return min(longest, -(-length // size) * size)
