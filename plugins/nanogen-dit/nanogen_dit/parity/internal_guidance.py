"""Internal guidance, as far as the recorded cases need it."""

from __future__ import annotations

from attrs import frozen

from nanogen_core.protocols import Field
from nanogen_core.tensors import Condition, Prediction, State, Times


@frozen
class InternalGuidance:
    """`base + w (full - base)` for t_min <= t <= t_max, base being the second head; the further token has none."""

    scale: float
    t_min: float
    t_max: float

    def wrap(self, field: Field) -> Field:
        """The guided field; both branches of classifier-free guidance around it are guided alike."""

        def guided(state: State, times: Times, condition: Condition) -> Prediction:
            prediction = field(state, times, condition)
            start = times.t[0]  # a tensor: its precision is that of the comparison, so that the interval is closed
            if not self.t_min <= start <= self.t_max:
                return prediction
            base, full = prediction.heads["internal"].latent, prediction.value
            return Prediction(full._replace(latent=base + self.scale * (full.latent - base)))

        return guided
