"""How real images look, by distances between sets of them and between pairs."""
