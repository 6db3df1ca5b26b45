"""What a run will need, found without a GPU, data or weights: every tensor of one step is followed without memory."""
