"""Charts as SVG: curves, columns and bars. Colours are classes, which the page's style fills."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from nexus_sim.markup import Markup, drawing, tag

_WIDTH, _HEIGHT = 520.0, 260.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 24.0, 14.0, 42.0
_ROW, _NAMES, _NOTES = 22.0, 96.0, 150.0
_POINTS_MAX = 400
"""A curve of more points than a screen shows is thinned."""


@dataclass(frozen=True, slots=True)
class Curve:
    """Steps from each point to the next."""

    name: str
    class_: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Stack:
    """A bar or column in parts of (class, value)."""

    name: str
    parts: Sequence[tuple[str, float]]
    note: str = ""

    @property
    def total(self) -> float:
        return sum(value for _, value in self.parts)


def nice(most: float, ticks: int = 5) -> float:
    """A round distance between ticks, of which at most so many lie below `most`."""
    if most <= 0:
        return 1.0
    raw = most / ticks
    power = 10.0 ** math.floor(math.log10(raw))
    return next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= raw * 0.9999)


def short(value: float) -> str:
    """A number for an axis."""
    if abs(value) >= 10_000:
        return f"{value / 1000:g}k"
    return f"{value:.6g}"


class _Axes:
    """A frame with ticks. With `marks`, each with its label, x is logarithmic and has those in its range."""

    def __init__(
        self,
        x: tuple[float, float],
        y_most: float,
        words: tuple[str, str],
        marks: Sequence[tuple[float, str]] = (),
    ) -> None:
        self._low, self._high = x
        self._y_most = y_most or 1.0
        self._marks = marks
        self._words = words

    def x(self, value: float) -> float:
        low, high = self._low, self._high
        if self._marks:
            value, low, high = (math.log10(one) for one in (max(value, low), low, high))
        share = (value - low) / (high - low) if high > low else 0.0
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        return _HEIGHT - _BOTTOM - value / self._y_most * (_HEIGHT - _TOP - _BOTTOM)

    def _x_ticks(self) -> list[tuple[float, str]]:
        if self._marks:
            return [(at, label) for at, label in self._marks if self._low <= at <= self._high]
        step = nice(self._high - self._low, 6)
        ticks = [
            self._low + step * number for number in range(int((self._high - self._low) / step + 1e-9) + 1)
        ]
        return [(at, short(at)) for at in ticks]

    def drawn(self) -> list[Markup]:
        bottom, right = self.y(0), _WIDTH - _RIGHT
        found = []
        step = nice(self._y_most)
        for number in range(int(self._y_most / step + 1e-9) + 1):
            y = self.y(step * number)
            found.append(tag("line", x1=_LEFT, x2=right, y1=y, y2=y, class_="grid"))
            found.append(tag("text", short(step * number), x=_LEFT - 6, y=y + 4, class_="end"))
        for value, label in self._x_ticks():
            x = self.x(value)
            found.append(tag("line", x1=x, x2=x, y1=bottom, y2=bottom + 4, class_="axis"))
            found.append(tag("text", label, x=x, y=bottom + 17, class_="mid"))
        across, up = self._words
        found.append(tag("text", across, x=(_LEFT + right) / 2, y=_HEIGHT - 5, class_="mid"))
        found.append(tag("text", up, x=_LEFT, y=_TOP - 4))
        return found


def curves(
    key: str,
    name: str,
    about: str,
    lines: Sequence[Curve],
    words: tuple[str, str],
    *,
    x: tuple[float, float],
    y_most: float,
    marks: Sequence[tuple[float, str]] = (),
) -> Markup:
    """Step curves over one pair of axes. `words` name what x and y are; `x` is the range, logarithmic with
    `marks` on it."""
    axes = _Axes(x, y_most, words, marks)
    drawn = axes.drawn()
    for line in lines:
        every = max(1, len(line.points) // _POINTS_MAX)
        points = [one for at, one in enumerate(line.points) if not at % every or at == len(line.points) - 1]
        if not points:
            continue
        (first_x, first_y), rest = points[0], points[1:]
        path = [f"M{axes.x(first_x):.1f} {axes.y(first_y):.1f}"]
        path += [f"H{axes.x(at):.1f}V{axes.y(value):.1f}" for at, value in rest]
        drawn.append(tag("path", tag("title", line.name), d="".join(path), class_=f"line {line.class_}"))
    return drawing(key, name, about, (_WIDTH, _HEIGHT), *drawn)


def columns(
    key: str, name: str, about: str, stacks: Sequence[Stack], words: tuple[str, str], *, x_most: float
) -> Markup:
    """Columns side by side that fill the range of x from 0 on."""
    axes = _Axes((0.0, x_most), max((one.total for one in stacks), default=0.0), words)
    drawn = axes.drawn()
    width = (axes.x(x_most) - axes.x(0)) / max(1, len(stacks))
    for number, stack in enumerate(stacks):
        base = 0.0
        parts = []
        for class_, value in stack.parts:
            if value > 0:
                top = axes.y(base + value)
                size = axes.y(base) - top
                left = axes.x(0) + number * width
                parts.append(tag("rect", x=left, y=top, width=width * 0.9, height=size, class_=class_))
                base += value
        if parts:
            drawn.append(tag("g", tag("title", stack.name), *parts))
    return drawing(key, name, about, (_WIDTH, _HEIGHT), *drawn)


def bars(key: str, name: str, about: str, stacks: Sequence[Stack]) -> Markup:
    """Bars below one another, each with its name before and a note behind."""
    most = max((one.total for one in stacks), default=0.0) or 1.0
    room = _WIDTH - _NAMES - _NOTES
    drawn = []
    for number, stack in enumerate(stacks):
        y = number * _ROW
        x = _NAMES
        row = [tag("title", f"{stack.name}: {stack.note}")]
        row.append(tag("text", _cut(stack.name), x=_NAMES - 6, y=y + 15, class_="end"))
        for class_, value in stack.parts:
            if value > 0:
                width = value / most * room
                row.append(tag("rect", x=x, y=y + 3, width=width, height=_ROW - 6, class_=class_))
                x += width
        row.append(tag("text", stack.note, x=x + 6, y=y + 15))
        drawn.append(tag("g", *row))
    return drawing(key, name, about, (_WIDTH, max(1, len(stacks)) * _ROW + 4), *drawn)


def _cut(name: str) -> str:
    return name if len(name) <= 14 else name[:13] + "…"


def legend(entries: Sequence[tuple[str, str]]) -> Markup:
    """What the colours stand for: (class, words)."""
    return tag(
        "ul",
        *(tag("li", tag("span", class_=f"key {class_}"), words) for class_, words in entries),
        class_="legend",
    )
