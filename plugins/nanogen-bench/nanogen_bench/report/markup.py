"""HTML and SVG by one function that escapes whatever it is given; only what it made itself goes through untouched."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from html import escape
from typing import TypeAlias

#: Elements that hold nothing and are not closed.
VOID = frozenset(("br", "col", "hr", "img", "input", "link", "meta"))


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


Content: TypeAlias = "str | int | Iterable[Content] | None"


def element(tag: str, /, *content: Content, **attributes: str | int | bool | None) -> Markup:
    """`<tag attribute="...">content</tag>`, all of it escaped but `Markup`.

    A trailing underscore of an attribute's name is dropped (`class_`), the others become hyphens (`aria_sort`).
    True is an attribute without a value; None and False leave it out. None in the content is nothing.
    """
    opening = f"<{tag}{''.join(_attribute(name, value) for name, value in attributes.items())}>"
    return Markup(opening if tag in VOID else f"{opening}{join(content)}</{tag}>")


def join(content: Content, *, between: str = "") -> Markup:
    """All of the content in a row, escaped where it is no markup."""
    if content is None:
        return Markup("")
    if isinstance(content, Markup):
        return content
    if isinstance(content, str | int):
        return Markup(_escaped(str(content)))
    return Markup(between.join(join(part) for part in content))


def folded(summary: Content, *content: Content, open: bool = False) -> Markup:
    """Content under a line that unfolds it; print shows it whole."""
    return element("details", element("summary", summary), content, open=open)


def raw(tag: str, text: str) -> Markup:
    """A `style` or `script` element around a file of this package. Nothing that a user wrote may come here."""
    return Markup(f"<{tag}>{text}</{tag}>")


def digest(text: str) -> str:
    """The source expression by which a content security policy allows exactly this style or script."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _attribute(name: str, value: str | int | bool | None) -> str:
    if value is None or value is False:
        return ""
    written = name.rstrip("_").replace("_", "-")
    return f" {written}" if value is True else f' {written}="{_escaped(str(value))}"'


def _escaped(text: str) -> str:
    """Lone surrogates, which a file's name may bring, have no UTF-8."""
    return escape(text.encode("utf-8", "replace").decode("utf-8"), quote=True)
