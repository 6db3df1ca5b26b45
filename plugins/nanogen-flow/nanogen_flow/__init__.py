"""Rectified flow for NanoGen."""
