"""What people see: aligned, and coloured only on a terminal. Imported only for human output.

Whatever comes from outside must have passed `text.clean` before it gets here.
"""

import os
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Literal, Never

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .text import clean, clean_lines

STATE_STYLES = {
    "queued": "yellow",
    "held": "yellow",
    "sent": "cyan",
    "relayed": "cyan",
    "delivered": "green",
    "read": "bold green",
    "failed": "bold red",
    "expired": "red",
    "up": "green",
    "listening": "green",
    "established": "green",
    "connecting": "yellow",
    "waiting": "yellow",
    "paused": "yellow",
    "stale": "yellow",
    "best": "green",
    "down": "red",
}
PIPE_WIDTH = 10_000
"""Columns when nobody's terminal limits them: nothing is cut or wrapped in a pipe."""
BAR_CELLS = 12
NOTABLE_DELAY_MS = 60_000

Cell = str | Text


class _Console(Console):
    def on_broken_pipe(self) -> Never:
        # rich would exit with 1; leave it to the place that maps errors to exit codes.
        raise BrokenPipeError


def console() -> Console:
    """A console on today's stdout, without any style if NO_COLOR is set or it is no terminal."""
    colours: Literal["auto"] | None = None if os.environ.get("NO_COLOR") else "auto"
    made = _Console(markup=False, highlight=False, emoji=False, color_system=colours)
    if not made.is_terminal:
        made.width = PIPE_WIDTH
    return made


def line(*parts: Cell) -> None:
    """Write parts on one line, a blank between them."""
    text = Text(" ").join(part if isinstance(part, Text) else Text(part) for part in parts)
    console().print(text, soft_wrap=True)


def table(columns: Sequence[str], rows: Iterable[Sequence[Cell]], *, whole: bool = False) -> None:
    """Write aligned columns; nothing at all when there are no rows.

    Wider than the terminal, columns are cut to fit, or with `whole` each line goes on below.
    """
    made = Table(box=None, pad_edge=False, header_style="dim", show_header=any(columns))
    for number, column in enumerate(columns, 1):
        made.add_column(column, overflow="fold", no_wrap=number < len(columns))
    for row in rows:
        made.add_row(*row)
    if made.rows:
        out = console()
        out.width = PIPE_WIDTH if whole else out.width
        out.print(made)


def state(name: str) -> Text:
    """A state in its colour."""
    return Text(clean(name), style=STATE_STYLES.get(name, ""))


def verdict(ok: bool) -> Text:
    """Whether a check passed."""
    return Text("ok", style="green") if ok else Text("FAULT", style="bold red")


def message(item: dict[str, Any]) -> None:
    """One received message: a line about it, then its text, indented so that it cannot pass for another."""
    out = console()
    head = Text.assemble((when(item["received_ms"]), "dim"), "  ", (clean(item["from"]), "bold"))
    if item.get("group_id"):
        head.append(f"  to {clean(item['to'])}")
    if item["sent_ms"] is not None and item["received_ms"] - item["sent_ms"] >= NOTABLE_DELAY_MS:
        head.append(f"  sent {when(item['sent_ms'])}", style="dim")
    head.append(f"  {item['id']}", style="dim")
    if not item.get("end_to_end", True):
        head.append("  not end-to-end", style="yellow")
    out.print(head, soft_wrap=True)
    for text in clean_lines(item["text"]):
        out.print(Text("    " + text), soft_wrap=True)
    for attached in item["attachments"]:
        words = f"    + {clean(attached['name'])}, {size(attached['size'])}, "
        told = Text(words) + state(attached["state"])
        if attached.get("path"):
            told.append(f"  {attached['path']}", style="dim")
        elif attached.get("why"):
            told.append(f"  {clean(attached['why'])}")
        elif attached["state"] in ("waiting", "receiving"):
            if bar := progress(attached.get("bytes_done", 0), attached["size"], attached.get("eta_s")):
                told.append(f"  {bar}")
            elif attached.get("needs_bps"):
                told.append(f"  comes over a link of {rate(attached['needs_bps'])} or more")
            told.append(f"  {attached['object'][:16]}", style="dim")
        out.print(told, soft_wrap=True)


def when(at_ms: int) -> str:
    """A moment in local time; what a stranger's clock says may be beyond any calendar."""
    try:
        return datetime.fromtimestamp(at_ms / 1000).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return f"{at_ms} ms"


def duration(seconds: float) -> str:
    """A span of time in its two largest units."""
    left = int(seconds)
    parts: list[str] = []
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, length)
        if count or (unit == "s" and not parts):
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])


def size(count: float) -> str:
    """Bytes with a decimal unit."""
    return _scaled(count, "B")


def number(value: float | None, unit: str = "") -> str:
    """A figure with its unit, if it is known."""
    return "-" if value is None else f"{value:g}{unit}"


def rate(bps: float | None) -> str:
    """Bits per second with a decimal unit."""
    return "-" if bps is None else _scaled(bps, "bit/s")


def _scaled(value: float, unit: str) -> str:
    prefixes = ("", "k", "M", "G", "T")
    step = 0
    while value >= 1000 and step < len(prefixes) - 1:
        value /= 1000
        step += 1
    return (
        f"{value:.1f} {prefixes[step]}{unit}"
        if step and value < 100
        else f"{value:.0f} {prefixes[step]}{unit}"
    )


def progress(done: int, total: int, eta_s: float | None = None) -> str:
    """A bar for a transfer under way, and how long it still takes if that is known; else nothing."""
    if not 0 < done < total:
        return ""
    filled = BAR_CELLS * done // total
    left = f", {duration(eta_s)} left" if eta_s is not None else ""
    return f"[{'#' * filled}{'.' * (BAR_CELLS - filled)}] {100 * done // total} % of {size(total)}{left}"


def qr(uri: str, *, err: bool = False) -> None:
    """The contact link as a QR code in half blocks, in upper case, which makes it smaller."""
    import segno

    segno.make(uri.upper(), error="m", micro=False).terminal(
        out=sys.stderr if err else sys.stdout, compact=True
    )
