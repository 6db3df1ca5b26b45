"""Contrastive flow matching for NanoGen."""
