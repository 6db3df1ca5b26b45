"""What the numbers say, first: a tile for each pair with its sentence, then which claims they bear."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nanogen_core.bench.results import Claim, Pair
from nanogen_core.report.groups import Group
from nanogen_core.report.markup import Content, Markup, element, folded
from nanogen_core.report.tables import bounds, signed

SIGNS = {"supported": "✓ Supported", "contradicted": "✗ Contradicted", "open": "? Open"}


def conclusions(groups: Sequence[Group], label: Callable[[str], str]) -> list[Content]:
    """The section's content: every group's tiles, the claims of the first one open and those of the others folded."""
    return [part for group in groups for part in _group(group, label, open=group is groups[0])]


def _group(group: Group, label: Callable[[str], str], *, open: bool) -> list[Markup]:
    told = zip(group.pairs, group.summaries, strict=True)
    claims = element("ul", [_claim(claim) for claim in group.claims], class_="claims")
    cautions = element("ul", [element("li", caution) for caution in group.cautions])
    return [
        element("h3", f"Over {group.what}"),
        element("ul", [_tile(pair, sentence, label) for pair, sentence in told], class_="tiles"),
        folded(f"Sentences that {group.short} support, contradict or leave open", claims, open=open),
        folded(f"What to keep in mind about {group.short}", cautions, open=open),
    ]


def _tile(pair: Pair, sentence: str, label: Callable[[str], str]) -> Markup:
    interval = bounds(pair.agreement_ci_low, pair.agreement_ci_high, 2)
    return element(
        "li",
        element("strong", f"{label(pair.x)} and {label(pair.y)}"),
        element("span", signed(pair.agreement, 3), class_="value"),
        element("span", f"agreement, 95 % {interval}, n = {pair.n}", class_="under"),
        element("span", f"raw Pearson r {signed(pair.pearson, 3)}", class_="under"),
        element("p", sentence),
    )


def _claim(claim: Claim) -> Markup:
    verdict = element("span", SIGNS.get(claim.verdict, claim.verdict), class_="verdict")
    return element("li", verdict, element("q", claim.text), element("small", claim.because), class_=claim.verdict)
