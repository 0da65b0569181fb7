"""HTML and SVG as text in which nothing stays unescaped: names and reasons come from scenarios and nodes."""

from collections.abc import Iterable
from html import escape
from typing import TypeAlias

_VOID = {"meta", "br"}


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


Content: TypeAlias = Markup | str | float | None


def tag(name: str, /, *inside: Content | Iterable[Markup], **attributes: object) -> Markup:
    """An element. `class_` is class, `_` in other names is `-`; attributes that are None are left out.

    What is inside is escaped unless it is Markup; None is nothing.
    """
    parts = [f"<{name}"]
    for key, value in attributes.items():
        if value is not None:
            parts.append(f' {key.rstrip("_").replace("_", "-")}="{escape(_shown(value))}"')
    parts.append("/>" if name in _VOID else ">")
    if name not in _VOID:
        parts += [_inside(one) for one in inside]
        parts.append(f"</{name}>")
    return Markup("".join(parts))


def _inside(one: Content | Iterable[Markup]) -> str:
    if one is None:
        return ""
    if isinstance(one, Markup):
        return one
    if isinstance(one, str | int | float):
        return escape(_shown(one))
    return "".join(map(_inside, one))


def _shown(value: object) -> str:
    """Numbers as short as a drawing needs them."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def table(heads: list[str], rows: Iterable[list[Content]], caption: str) -> Markup:
    """A table that scrolls by itself where the page is narrow; numbers stand to the right."""
    head = tag("tr", *(tag("th", one, scope="col") for one in heads))
    body = (
        tag("tr", *(tag("td", one, class_="n" if isinstance(one, int | float) else None) for one in row))
        for row in rows
    )
    whole = tag("table", tag("caption", caption), tag("thead", head), tag("tbody", *body))
    return tag("div", whole, class_="scroll", tabindex=0, role="region", aria_label=caption)


def folded(summary: str, *inside: Markup) -> Markup:
    """What is read only by who opens it."""
    return tag("details", tag("summary", summary), *inside)


def drawing(key: str, name: str, about: str, size: tuple[float, float], *inside: Markup) -> Markup:
    """An SVG with a title and a description, for who cannot see it; `key` is its own on the page."""
    title, told = f"{key}-title", f"{key}-about"
    width, height = size
    return tag(
        "svg",
        tag("title", name, id=title),
        tag("desc", about, id=told),
        *inside,
        viewBox=f"0 0 {_shown(float(width))} {_shown(float(height))}",
        role="img",
        aria_labelledby=f"{title} {told}",
    )
