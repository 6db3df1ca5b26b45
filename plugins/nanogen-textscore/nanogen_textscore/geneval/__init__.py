"""GenEval (Ghosh et al., arXiv 2310.11513): objects, counts, colours and positions, checked by an object detector."""
