"""Representation autoencoders: frozen vision encoders whose tokens are the latent, and trained ViT decoders."""
