"""DPG-Bench (Hu et al., arXiv 2403.05135): dense prompts, scored by yes/no questions that a VQA model answers."""
