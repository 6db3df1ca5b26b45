"""Collection of scores: run folders to tables of models and model cards."""
