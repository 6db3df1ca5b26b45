"""VQAScore (Lin et al., arXiv 2404.01291): the probability of "Yes" when a model is asked if an image shows a text."""
