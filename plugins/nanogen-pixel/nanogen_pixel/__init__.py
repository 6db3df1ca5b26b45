"""Diffusion on pixels: the identity tokenizer and the JiT setting."""
