"""Numbers by formula, equal in every language. Imports NumPy only."""

import numpy as np


def formula(count, shift):
    """Numbers in [-1, 1] by integer arithmetic."""
    j = np.arange(count, dtype=np.int64)
    return (((31 * j * j + 17 * j + shift) % 251 - 125) / 125).astype(np.float32)
