"""Error message of Self-Flow. Does not import torch."""

NO_CLS_TOKEN = (
    "Self-Flow draws a time for each image token, but none for a class token (REG). Remove REG from `auxiliary`, or set"
    " `objective: flow`."
)
