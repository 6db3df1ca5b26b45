"""Error messages for combinations that sCM does not support. Does not import torch."""

NO_CLS_TOKEN = (
    "sCM does not support a class token (REG): a consistency function of the token is not defined. Remove REG from"
    " `auxiliary`, or set `objective: trigflow`."
)
NO_JUMP = (
    "The sampler 'consistency' jumps from noise to data in one step, but the objective {0!r} predicts instantaneous"
    " velocities. Set `sampler: euler`, or use an objective that jumps, such as scm or meanflow."
)
