"""Diffusion transformers for NanoGen: LightningDiT and DDT."""
