"""Flow matching with a loss of the velocity's direction for NanoGen."""
