"""What the parts of a run's page share: cards, times and shares in words, kinds of traffic as colours."""

from collections.abc import Iterable, Mapping

from nexus_sim.charts import Stack, legend
from nexus_sim.markup import Content, Markup, tag
from nexus_sim.traffic import KINDS

ROWS_MAX = 500
"""Rows of a long table on the page; run.json has the rest."""
_COLOURS = {
    "message": ("message", "messages"),
    "fragment": ("message", "messages"),
    "receipt": ("receipt", "receipts"),
    "ack": ("ack", "acknowledgements of hops"),
    "announce": ("announce", "announces"),
    "path_request": ("path_request", "path requests"),
    "handshake": ("handshake", "handshakes, new keys"),
    "hello": ("hello", "hellos"),
    "custody": ("custody", "custody, carriers"),
}
_REST = "rest", "everything else"


def duration(seconds: float | None) -> str:
    """For people: 0.8 s, 3 min 20 s, 5 h 10 min, 3 d 4 h."""
    if seconds is None:
        return "-"
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.3g} s"
    units = (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1))
    unit, size, part, least = next(one for one in units if whole >= one[1])
    first, rest = divmod(whole, size)
    return f"{first} {unit} {rest // least} {part}" if rest >= least else f"{first} {unit}"


def percent(share: float | None) -> str:
    """A share for people."""
    return "-" if share is None else f"{100 * share:.4g} %"


def card(key: str, title: str, *inside: Content | Iterable[Markup], class_: str | None = None) -> Markup:
    """One part of the page, with its heading."""
    return tag("section", tag("h2", title), *inside, id=key, class_=class_)


def kind_legend(used: Iterable[str]) -> Markup:
    """What the colours of these kinds stand for."""
    used = set(used)
    return legend(list(dict.fromkeys(_COLOURS.get(kind, _REST) for kind in KINDS if kind in used)))


def kind_stack(name: str, seconds: Mapping[str, float], note: str = "") -> Stack:
    """A bar in the colours of its kinds."""
    return Stack(name, [(_COLOURS.get(one, _REST)[0], seconds[one]) for one in KINDS if one in seconds], note)
