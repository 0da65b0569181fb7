"""The map of a run as SVG: nodes where they stood at the end, and the links between them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nexus_sim.charts import nice
from nexus_sim.markup import Markup, drawing, tag
from nexus_sim.scenario import Place

_SIDE, _MARGIN = 720.0, 46.0
_LEAST_HEIGHT = 200.0
LINKS_MAX = 1500
"""Lines on a map; of more, the strongest."""
_MANY = 300
"""Of more lines than that each is drawn fainter."""
_NAMED_MAX = 60
"""Of more nodes than that the names are left out; they stand in the tooltips and in the table."""
STRONG_DB, FAIR_DB = 10.0, 0.0
"""Signal-to-noise ratios from which on a link is drawn as strong, and as fair."""


@dataclass(frozen=True, slots=True)
class Spot:
    """A node on the map. `about` is its tooltip; `class_` its looks: plain, relay, off or missed."""

    name: str
    about: str
    class_: str


@dataclass(frozen=True, slots=True)
class Line:
    """A link on the map, with the ratio of a radio link's weaker direction; None is a wire."""

    a: str
    b: str
    snr_db: float | None
    both: bool = True
    """Whether each hears the other."""

    @property
    def class_(self) -> str:
        if self.snr_db is None:
            return "wire"
        strength = "strong" if self.snr_db >= STRONG_DB else "fair" if self.snr_db >= FAIR_DB else "faint"
        return strength if self.both else f"{strength} oneway"

    @property
    def about(self) -> str:
        if self.snr_db is None:
            return f"{self.a} and {self.b}: a wire, Wi-Fi or a meeting"
        way = "and" if self.both else "heard by"
        return f"{self.a} {way} {self.b}: {self.snr_db:.1f} dB above the noise"


def radio_lines(reach: Sequence[tuple[str, str, float]]) -> list[Line]:
    """One line a pair from (sender, receiver, SNR in dB), the strongest first."""
    found = {(a, b): snr_db for a, b, snr_db in reach}
    lines = []
    for (a, b), snr_db in found.items():
        back = found.get((b, a))
        if back is None:
            lines.append(Line(a, b, snr_db, both=False))
        elif a < b:
            lines.append(Line(a, b, min(snr_db, back)))
    return sorted(lines, key=lambda line: (-(line.snr_db or 0.0), line.a, line.b))


class _Sheet:
    """Metres to the sheet, north above; nodes that all stand in one spot go round a circle."""

    def __init__(self, places: Mapping[str, Place]) -> None:
        xs, ys = [one.x for one in places.values()], [one.y for one in places.values()]
        self.left, self.top = min(xs), max(ys)
        wide, high = max(xs) - self.left, self.top - min(ys)
        self.scale = (_SIDE - 2 * _MARGIN) / max(wide, high) if max(wide, high) > 0 else 0.0
        self.ring = not self.scale
        self.height = _SIDE if self.ring else max(_LEAST_HEIGHT, high * self.scale + 2 * _MARGIN)
        self._drop = (self.height - high * self.scale) / 2
        self._shift = (_SIDE - wide * self.scale) / 2
        ordered = sorted(places, key=lambda name: [len(name), name])
        self._turn = {name: 2 * math.pi * number / len(places) for number, name in enumerate(ordered)}

    def spot(self, place: Place) -> tuple[float, float]:
        if self.ring:
            radius, turn = _SIDE / 2 - _MARGIN, self._turn[place.name]
            return _SIDE / 2 + radius * math.sin(turn), _SIDE / 2 - radius * math.cos(turn)
        across, down = (place.x - self.left) * self.scale, (self.top - place.y) * self.scale
        return self._shift + across, self._drop + down

    def ruler(self) -> list[Markup]:
        """A line of a round length, with the length."""
        if self.ring:
            return []
        metres = nice((_SIDE - 2 * _MARGIN) / self.scale, 4)
        words = f"{metres / 1000:g} km" if metres >= 1000 else f"{metres:g} m"
        y, width = self.height - 14, metres * self.scale
        return [
            tag("path", d=f"M12 {y - 4:.1f}v8M12 {y:.1f}h{width:.1f}m0 -4v8", class_="axis"),
            tag("text", words, x=18 + width, y=y + 4),
        ]


def drawn_map(
    places: Mapping[str, Place], spots: Sequence[Spot], lines: Sequence[Line], about: str
) -> Markup:
    """The map; at most `LINKS_MAX` lines, the first ones."""
    sheet = _Sheet(places)
    at = {name: sheet.spot(place) for name, place in places.items()}
    links = []
    for line in lines[:LINKS_MAX]:
        (x1, y1), (x2, y2) = at[line.a], at[line.b]
        links.append(tag("line", tag("title", line.about), x1=x1, y1=y1, x2=x2, y2=y2, class_=line.class_))
    drawn = [tag("g", links, class_="many" if len(links) > _MANY else None)]
    size = 7.0 if len(spots) <= _NAMED_MAX else 4.5
    for spot in spots:
        x, y = at[spot.name]
        told = tag("title", spot.about)
        if "relay" in spot.class_:
            shape = tag(
                "rect",
                told,
                x=x - size,
                y=y - size,
                width=2 * size,
                height=2 * size,
                rx=2,
                class_=spot.class_,
            )
        else:
            shape = tag("circle", told, cx=x, cy=y, r=size, class_=spot.class_)
        drawn.append(shape)
        if len(spots) <= _NAMED_MAX:
            drawn.append(tag("text", spot.name, x=x, y=y - size - 4, class_="mid"))
    name = (
        "Nodes and who reaches whom" if not sheet.ring else "Nodes (they have no places) and who meets whom"
    )
    return drawing("map", name, about, (_SIDE, sheet.height), *drawn, *sheet.ruler())
