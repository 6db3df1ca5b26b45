"""The goals for one H100 and the ratios to the plain loop, computed from the rows that are there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.speed.timing import Row

FLOW, XL, DDT = "LightningDiT-B", "LightningDiT-XL", "DDT-XL"
TEXT, SHORT_TEXT = "DDT-XL, text of 20 to 256 tokens", "DDT-XL, text of 20 to 120 tokens"
FLEX = f"{TEXT}, FlexAttention"
MEANFLOW, FORWARD = "MeanFlow, LightningDiT-B", "MeanFlow (derivative: forward), LightningDiT-B"
UTILISATION = "utilisation"  # share of the rate of the large product
RATE = "images_per_second"


def goals(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return each goal with the figure of eager and of compiled programs, as far as they were measured.

    The speed relative to the plain loop, and that of FlexAttention relative to the fused kernel, have no bound.
    """
    fields = ("name", "against", "figure", "unit", "bound", "holds")
    return [{field: getattr(row, field) for field in fields} for row in _measured(rows)]


def _measured(rows: Sequence[Mapping[str, Any]]) -> Iterator[Row]:
    found = {(row["model"], row["side"]): row for row in rows if RATE in row}
    for kind, meanflow in (("eager", MEANFLOW), ("compiled", FORWARD)):
        of, plain = (
            {model: row for (model, each), row in found.items() if each == f"{side}, {kind}"}
            for side in ("ours", "plain loop")
        )
        if XL in of:
            yield Row(name=f"{XL}, {kind}", against="", figure=of[XL][RATE], unit="images/s", at_least=300)
        if DDT in of:
            against = "the large product"
            yield Row(name=f"{DDT}, {kind}", against=against, figure=of[DDT][UTILISATION], unit="of it", at_least=0.35)
        for slower, faster, bound in ((meanflow, FLOW, 2.2), (TEXT, DDT, 1.25), (SHORT_TEXT, DDT, 1.25)):
            if slower in of and faster in of:  # times of a step, because their batches are equal
                times = of[faster][RATE] / of[slower][RATE]
                yield Row(name=f"a step of {slower}, {kind}", against=faster, figure=times, at_most=bound)
        if FLEX in of and TEXT in of:
            yield Row(name=f"{FLEX}, {kind}", against=f"{TEXT}, fused", figure=of[FLEX][RATE] / of[TEXT][RATE])
        for model in plain:
            if model in of:
                yield Row(name=f"{model}, {kind}", against="plain loop", figure=of[model][RATE] / plain[model][RATE])
