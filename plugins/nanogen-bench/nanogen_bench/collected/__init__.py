"""Collection of the scores of run folders into tables of models and model cards."""
