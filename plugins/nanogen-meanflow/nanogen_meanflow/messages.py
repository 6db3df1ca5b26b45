"""Error messages for combinations that MeanFlow does not support. Does not import torch."""

NO_CLS_TOKEN = (
    "MeanFlow objectives do not support a class token (REG): an average velocity of the token is not defined. "
    "Remove REG from `auxiliary`, use REPA, or set `objective: flow`."
)
NO_COMPILE = (
    "The objective's `derivative: exact` needs a second backward pass, which torch.compile does not support. "
    "Set `derivative: forward` in `objective:`, or `train.compile: none`."
)
NO_BLOCK_SHARDS = (
    "The objective's `derivative: exact` needs a second backward pass, and FSDP frees the weights of a block after the "
    "first. Set `train.shard_by: step`, or `derivative: forward` in `objective:`."
)
