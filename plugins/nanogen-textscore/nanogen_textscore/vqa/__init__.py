"""VQAScore (Lin et al., arXiv 2404.01291): how probable "Yes" is as the answer to whether a picture shows a text."""
