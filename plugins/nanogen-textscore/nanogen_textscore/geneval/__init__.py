"""GenEval (Ghosh et al., arXiv 2310.11513): a detector checks objects, counts and positions; CLIP checks colours."""
