"""GenEval (Ghosh et al., arXiv 2310.11513): objects, their number, colours and places, found by a detector."""
