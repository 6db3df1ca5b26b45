"""Recipes as rows of the published configurations."""
