"""Auxiliary losses that align a backbone with a vision encoder, and guidance from a second head."""
