"""Trains the shipped networks: `python -m nanogen_openmoji.make.vae`, then `.classifier` and `.scene_reader`."""
