"""Contact traces as files: who met whom from when until when, and the messages to send meanwhile.

Times are seconds from the start of the trace. What cannot be used is an `InputError` with file and line.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from math import isfinite
from pathlib import Path

from nexus_node.base.errors import InputError
from nexus_node.base.limits import NAME_MAX, TEXT_MAX

CONTACT_COLUMNS = ("start", "end", "a", "b")
MESSAGE_COLUMNS = ("id", "t", "src", "dst", "size")
PLACE_COLUMNS = ("name", "x", "y")
MATRIX_COLUMNS = ("from", "to", "snr_db")


@dataclass(frozen=True, slots=True)
class Contact:
    """`a` and `b` can hear each other from `start` until just before `end`."""

    start: float
    end: float
    a: str
    b: str


@dataclass(frozen=True, slots=True)
class Message:
    """A text of `size` bytes from `src` to `dst`, sent at `t`."""

    id: str
    t: float
    src: str
    dst: str
    size: int


class Step(IntEnum):
    """What happens, in this order within one instant."""

    END = 0
    SEND = 1
    BEGIN = 2


@dataclass(frozen=True, slots=True)
class Trace:
    """Contacts by start, of each pair apart from one another, and messages by time."""

    contacts: tuple[Contact, ...]
    messages: tuple[Message, ...]

    @property
    def people(self) -> list[str]:
        """Everybody who meets, sends or is written to, in order."""
        met = {one for contact in self.contacts for one in (contact.a, contact.b)}
        wrote = {one for message in self.messages for one in (message.src, message.dst)}
        return sorted(met | wrote)

    def timeline(self) -> list[tuple[float, Step, Contact | Message]]:
        """Everything that happens, in order, with its time."""
        steps: list[tuple[float, Step, Contact | Message]] = []
        steps += [(one.end, Step.END, one) for one in self.contacts]
        steps += [(one.t, Step.SEND, one) for one in self.messages]
        steps += [(one.start, Step.BEGIN, one) for one in self.contacts]
        return sorted(steps, key=lambda step: step[:2])


def read_contacts(path: Path) -> tuple[Contact, ...]:
    """The contacts of a trace alone. Raises InputError."""
    return _merged([_contact(row) for row in _rows(path, CONTACT_COLUMNS)])


def read_places(path: Path) -> list[tuple[str, float, float]]:
    """(name, x, y) of nodes, in metres. Raises InputError."""
    places: dict[str, tuple[str, float, float]] = {}
    for row in _rows(path, PLACE_COLUMNS):
        name = row.text("name")
        if name in places:
            raise row.wrong(f"there is a node {name} already; names must differ")
        places[name] = name, row.number("x", "metres"), row.number("y", "metres")
    return list(places.values())


def read_matrix(path: Path) -> list[tuple[str, str, float]]:
    """(from, to, signal-to-noise ratio in dB) of measured links. Raises InputError."""
    found: dict[tuple[str, str], float] = {}
    for row in _rows(path, MATRIX_COLUMNS):
        sender, receiver = row.text("from"), row.text("to")
        if sender == receiver:
            raise row.wrong(f"{sender} cannot hear itself; from and to must differ")
        if (sender, receiver) in found:
            raise row.wrong(f"there is a link from {sender} to {receiver} already; give it once")
        found[sender, receiver] = row.number("snr_db", "decibels")
    return [(*pair, snr_db) for pair, snr_db in found.items()]


def read_trace(contacts: Path, messages: Path) -> Trace:
    """Read both files (columns as above, in any order, others ignored). Raises InputError."""
    return Trace(_merged([_contact(row) for row in _rows(contacts, CONTACT_COLUMNS)]), _messages(messages))


class _Row:
    """One line of a file, with what to say of it."""

    def __init__(self, where: str, values: dict[str, str]) -> None:
        self._where = where
        self._values = values

    def wrong(self, what: str) -> InputError:
        return InputError(f"{self._where}: {what}")

    def text(self, column: str) -> str:
        """A name or id: printable, and short enough for a contact's name."""
        value = self._values[column].strip()
        if not value or not value.isprintable() or len(value.encode()) > NAME_MAX:
            raise self.wrong(f"{column} must have 1 to {NAME_MAX} printable characters, not {value!r}")
        return value

    def seconds(self, column: str) -> float:
        value = self._values[column]
        try:
            seconds = float(value)
        except ValueError:
            seconds = -1.0
        if not isfinite(seconds) or seconds < 0:
            raise self.wrong(f"{column} must be a number of seconds from 0 on, not {value!r}")
        return seconds

    def number(self, column: str, unit: str) -> float:
        value = self._values[column]
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        if not isfinite(number):
            raise self.wrong(f"{column} must be a number of {unit}, not {value!r}")
        return number

    def size(self, column: str) -> int:
        value = self._values[column].strip()
        if not (value.isascii() and value.isdigit() and 1 <= int(value) <= TEXT_MAX):
            raise self.wrong(f"{column} must be 1 to {TEXT_MAX} bytes, as a text has, not {value!r}")
        return int(value)


def _rows(path: Path, columns: tuple[str, ...]) -> Iterator[_Row]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            missing = [column for column in columns if column not in (reader.fieldnames or ())]
            if missing:
                raise InputError(
                    f"{path}: the first line must name the columns {','.join(columns)}; "
                    f"{', '.join(missing)} is missing"
                )
            row = None
            for values in reader:
                row = _Row(f"{path}, line {reader.line_num}", values)
                if None in values or None in values.values():
                    raise row.wrong("it has not as many values as the first line has names")
                yield row
            if row is None:
                raise InputError(f"{path} has nothing below its first line; give it at least one line more")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as CSV in UTF-8: {error}") from error


def _contact(row: _Row) -> Contact:
    a, b = sorted((row.text("a"), row.text("b")))
    contact = Contact(row.seconds("start"), row.seconds("end"), a, b)
    if a == b:
        raise row.wrong(f"{a} cannot meet themselves; a and b must differ")
    if contact.end <= contact.start:
        raise row.wrong(f"the contact ends at {contact.end:g}, which is not after its start")
    return contact


def _merged(contacts: list[Contact]) -> tuple[Contact, ...]:
    """Contacts of one pair that overlap or touch are one."""
    merged: list[Contact] = []
    for one in sorted(contacts, key=lambda one: (one.a, one.b, one.start)):
        last = merged[-1] if merged else None
        if last is not None and (last.a, last.b) == (one.a, one.b) and one.start <= last.end:
            merged[-1] = Contact(last.start, max(last.end, one.end), one.a, one.b)
        else:
            merged.append(one)
    return tuple(sorted(merged, key=lambda one: (one.start, one.a, one.b)))


def _messages(path: Path) -> tuple[Message, ...]:
    found: dict[str, Message] = {}
    for row in _rows(path, MESSAGE_COLUMNS):
        message = Message(
            row.text("id"), row.seconds("t"), row.text("src"), row.text("dst"), row.size("size")
        )
        if " " in message.id:
            raise row.wrong(f"the id {message.id!r} must have no blank in it")
        if message.id in found:
            raise row.wrong(f"there is a message {message.id} already; ids must differ")
        if message.src == message.dst:
            raise row.wrong(f"{message.src} cannot write to themselves; src and dst must differ")
        found[message.id] = message
    return tuple(sorted(found.values(), key=lambda one: (one.t, one.id)))
