"""DPG-Bench (Hu et al., arXiv 2403.05135): dense prompts, judged by many questions with yes or no for an answer."""
