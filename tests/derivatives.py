"""Tells whether a step computes MeanFlow's derivative: steps without an interval do not."""


def derivatives_of(objective):
    """Return a list that gets each du/dt that `objective` computes from now on."""
    found = []
    derivative = getattr(objective, "_derivative", None)
    if derivative is not None:

        def noted(u_fn, at):
            output = derivative(u_fn, at)
            found.append(output.du_dt)
            return output

        objective._derivative = noted
    return found
