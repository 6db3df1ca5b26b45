"""Construction of HTML and SVG with escaping. Only `Markup` is inserted unescaped."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from html import escape
from typing import TypeAlias

#: Elements without content and closing tag.
VOID = frozenset(("br", "col", "hr", "img", "input", "link", "meta"))


class Markup(str):
    """Text that is already markup."""

    __slots__ = ()


Content: TypeAlias = "str | int | Iterable[Content] | None"


def element(tag: str, /, *content: Content, **attributes: str | int | bool | None) -> Markup:
    """Return `<tag attribute="...">content</tag>`, with everything but `Markup` escaped.

    Args:
        tag: Name of the element.
        *content: Text, markup, nested iterables of them, or None for nothing.
        **attributes: Attributes. A trailing underscore of a name is removed (`class_`), other underscores become
            hyphens (`aria_sort`). True gives an attribute without value; None and False omit it.
    """
    opening = f"<{tag}{''.join(_attribute(name, value) for name, value in attributes.items())}>"
    return Markup(opening if tag in VOID else f"{opening}{join(content)}</{tag}>")


def join(content: Content, *, between: str = "") -> Markup:
    """Concatenate content, with everything but `Markup` escaped. `between` separates items of iterables."""
    if content is None:
        return Markup("")
    if isinstance(content, Markup):
        return content
    if isinstance(content, str | int):
        return Markup(_escaped(str(content)))
    return Markup(between.join(join(part) for part in content))


def folded(summary: Content, *content: Content, open: bool = False) -> Markup:
    """Return a `details` element. Printing unfolds it."""
    return element("details", element("summary", summary), content, open=open)


def raw(tag: str, text: str) -> Markup:
    """Return a `style` or `script` element with unescaped text. Only for files of this package."""
    return Markup(f"<{tag}>{text}</{tag}>")


def digest(text: str) -> str:
    """Return the source expression that allows a style or script in a content security policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _attribute(name: str, value: str | int | bool | None) -> str:
    if value is None or value is False:
        return ""
    written = name.rstrip("_").replace("_", "-")
    return f" {written}" if value is True else f' {written}="{_escaped(str(value))}"'


def _escaped(text: str) -> str:
    """Escape text. Replaces lone surrogates, which file names may contain and UTF-8 cannot encode."""
    return escape(text.encode("utf-8", "replace").decode("utf-8"), quote=True)
