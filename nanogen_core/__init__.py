"""NanoGen core."""
