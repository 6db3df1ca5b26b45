"""Tables with the headings that screen readers, sorting and narrow screens need."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from nanogen_bench.report.markup import Content, Markup, element
from nanogen_bench.report.scales import number

MISSING = "–"
SHORT = 32  # characters of a name that stands in one line where there is room


@frozen
class Head:
    """A column's heading. `text` columns are aligned left; `best_first` is the order that the first click gives."""

    name: Content
    text: bool = False
    best_first: str = "descending"
    sorted: str = "none"  # the order that the table comes in, if it is by this column


def table(
    heads: Sequence[Head],
    rows: Sequence[Content],
    *,
    caption: Content,
    above: Content = None,
    sort_id: str | None = None,
) -> Markup:
    """A table in a frame that scrolls by itself, by touch or keyboard, when the screen is narrower.

    `rows` are `tr` elements, or sequences of cells for one; `above` is a further row over the headings; with
    `sort_id`, an id, the headings sort.
    """
    head = element("thead", above, element("tr", [_head(head, sortable=sort_id is not None) for head in heads]))
    body = element("tbody", [row if isinstance(row, Markup) else element("tr", row) for row in rows])
    told = element("caption", element("span", caption))
    whole = element("table", told, head, body, class_="sortable" if sort_id else None, id=sort_id)
    return element("div", whole, class_="scroll", role="region", tabindex=0, aria_label="Table")


def name(words: str, note: Content = None) -> Markup:
    """The first cell of a row, which names it: not broken where it is short. A name's own direction of writing stays
    with itself."""
    small = element("small", note) if note else None
    return element("th", element("bdi", words), small, scope="row", class_="short" if len(words) <= SHORT else None)


def figure(
    value: float | None, decimals: int, *, sign: bool = False, best: bool = False, below: Content = None
) -> Markup:
    """A number; what is missing is a dash, and comes last when sorted."""
    if value is None:
        return element("td", MISSING, element("small", below) if below else None, class_="missing")
    shown = signed(value, decimals) if sign else number(value, decimals)
    small = element("small", below) if below else None
    return element("td", shown, small, class_="best" if best else None, data_value=f"{value:.{decimals + 2}f}")


def text(*content: Content, long: bool = False) -> Markup:
    """Words; `long` ones are wrapped."""
    return element("td", content, class_="words" if long else "text")


def signed(value: float | None, decimals: int = 3) -> str:
    """A number with its sign, or a dash."""
    if value is None:
        return MISSING
    shown = number(value, decimals)
    return shown if value < 0 or float(f"{value:.{decimals}f}") == 0 else f"+{shown}"


def bounds(low: float | None, high: float | None, decimals: int = 3) -> str:
    """`"[+0.119, +0.805]"`, or a dash where there is no interval."""
    return MISSING if low is None or high is None else f"[{signed(low, decimals)}, {signed(high, decimals)}]"


def _head(head: Head, *, sortable: bool) -> Markup:
    kind = "text" if head.text else "number"
    sort = {"data_sort": kind, "data_first": head.best_first, "aria_sort": head.sorted} if sortable else {}
    return element("th", head.name, scope="col", class_="text" if head.text else None, **sort)
