"""Diffusion on pixels: the identity tokenizer, the settings of JiT, PixNerd and PixelGen, perceptual losses."""
