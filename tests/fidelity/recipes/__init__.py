"""Our recipes in the words of the published configurations."""
