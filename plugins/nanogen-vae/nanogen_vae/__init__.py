"""Latent diffusion: the VAEs that diffusers knows, as tokenizers."""
