"""From the scores that lie beside runs to tables of models, and to the entry of one model."""
