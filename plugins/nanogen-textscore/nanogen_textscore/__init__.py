"""How well pictures show what was asked for: GenEval, DPG-Bench, VQAScore, GenAI-Bench and CLIPScore."""
