"""HTML tables: accessible, sortable, and scrollable on narrow screens."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from nanogen_bench.report.markup import Content, Markup, element
from nanogen_bench.report.scales import number

MISSING = "–"
SHORT = 32  # names of at most this many characters are not wrapped


@frozen
class Head:
    """Heading of a column."""

    name: Content
    text: bool = False  # whether the column is left-aligned text
    best_first: str = "descending"  # sort order of the first click
    sorted: str = "none"  # initial sort order


def table(
    heads: Sequence[Head],
    rows: Sequence[Content],
    *,
    caption: Content,
    above: Content = None,
    sort_id: str | None = None,
) -> Markup:
    """Return a table in a frame that scrolls on narrow screens.

    Args:
        heads: Headings of the columns.
        rows: `tr` elements, or sequences of cells.
        caption: Caption of the table.
        above: Additional header row above the headings.
        sort_id: Id of the table; makes its headings sortable.
    """
    head = element("thead", above, element("tr", [_head(head, sortable=sort_id is not None) for head in heads]))
    body = element("tbody", [row if isinstance(row, Markup) else element("tr", row) for row in rows])
    title = element("caption", element("span", caption))
    content = element("table", title, head, body, class_="sortable" if sort_id else None, id=sort_id)
    return element("div", content, class_="scroll", role="region", tabindex=0, aria_label="Table")


def name(words: str, note: Content = None) -> Markup:
    """Return the first cell of a row: the row's name. Short names do not wrap. `bdi` isolates right-to-left text."""
    small = element("small", note) if note else None
    return element("th", element("bdi", words), small, scope="row", class_="short" if len(words) <= SHORT else None)


def figure(
    value: float | None, decimals: int, *, sign: bool = False, best: bool = False, below: Content = None
) -> Markup:
    """Return a cell with a number. A missing value is shown as a dash and sorted last.

    Args:
        value: The number.
        decimals: Number of decimals.
        sign: Whether positive numbers have a sign.
        best: Whether the number is highlighted.
        below: Small text below the number.
    """
    if value is None:
        return element("td", MISSING, element("small", below) if below else None, class_="missing")
    shown = signed(value, decimals) if sign else number(value, decimals)
    small = element("small", below) if below else None
    return element("td", shown, small, class_="best" if best else None, data_value=f"{value:.{decimals + 2}f}")


def text(*content: Content, long: bool = False) -> Markup:
    """Return a cell with text. It wraps if `long` is true."""
    return element("td", content, class_="words" if long else "text")


def signed(value: float | None, decimals: int = 3) -> str:
    """Format a number with its sign, or None as a dash."""
    if value is None:
        return MISSING
    shown = number(value, decimals)
    return shown if value < 0 or float(f"{value:.{decimals}f}") == 0 else f"+{shown}"


def bounds(low: float | None, high: float | None, decimals: int = 3) -> str:
    """Format an interval as `"[+0.119, +0.805]"`, or a missing one as a dash."""
    return MISSING if low is None or high is None else f"[{signed(low, decimals)}, {signed(high, decimals)}]"


def _head(head: Head, *, sortable: bool) -> Markup:
    kind = "text" if head.text else "number"
    sort = {"data_sort": kind, "data_first": head.best_first, "aria_sort": head.sorted} if sortable else {}
    return element("th", head.name, scope="col", class_="text" if head.text else None, **sort)
