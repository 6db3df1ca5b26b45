"""The sentences for what does not go together. Loads no torch."""

TOKEN = (
    "MeanFlow does not diffuse a class token along (REG), as in the published code: the recipe defines no average "
    "velocity for it. Leave REG out, use REPA, or choose objective='flow'."
)
COMPILED = (
    "torch.compile has no second backward pass, by which the objective's derivative 'exact' is found: write "
    "derivative: forward in `objective:`, or leave `train.compile` out."
)
SHARED = (
    "FSDP gathers a block's weights for one backward pass, and the objective's derivative 'exact' needs two: set "
    "`train.shard_by` to step, which gathers all of them, or write derivative: forward in `objective:`."
)
