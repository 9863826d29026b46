"""HTML and SVG elements as text; names of trackers and sequences never become markup."""

from collections import abc
from html import escape

from lib.runtime.escapes import printable


class Markup(str):
    """Text that is markup already."""


def make(tag: str, attributes: abc.Mapping[str, object] | None = None, *children: str | None) -> Markup:
    """An element; attributes and children that are None are left out, and a child that is no ``Markup`` is text."""
    words = "".join(
        f' {name}="{escape(printable(str(value)))}"' for name, value in (attributes or {}).items() if value is not None
    )
    return Markup(f"<{tag}{words}>" if tag in ("img", "wbr") else f"<{tag}{words}>{join(*children)}</{tag}>")


def join(*children: str | None) -> Markup:
    """Elements and texts in a row."""
    parts = (child if isinstance(child, Markup) else escape(printable(child)) for child in children if child)
    return Markup("".join(parts))
