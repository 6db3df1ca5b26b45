"""Fidelity: what NanoGen computes, against what the published code was recorded to compute."""
