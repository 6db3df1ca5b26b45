"""Diffusion transformers for NanoGen: LightningDiT, DDT and DiT."""
