"""Commands of nanogen-scaffold."""
