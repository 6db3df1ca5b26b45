"""How the shipped networks were made: `python -m nanogen_openmoji.make.vae`, then `.classifier` and `.scene_reader`."""
