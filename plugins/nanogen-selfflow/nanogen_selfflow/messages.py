"""Error message of Self-Flow. Does not import torch."""

NO_CLS_TOKEN = (
    "Self-Flow does not support a class token (REG), which has no time of its own. Remove REG from `auxiliary`, or set"
    " `objective: flow`."
)
