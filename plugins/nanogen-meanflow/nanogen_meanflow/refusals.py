"""The sentences for what does not go together. Loads no torch."""

TOKEN = (
    "MeanFlow does not diffuse a further token along (REG): its du/dt would need the token's own average velocity, "
    "which nobody has published. Leave REG out, use REPA, or choose objective='flow'."
)
