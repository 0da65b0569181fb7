"""Messages going out, and how far each has come (N9, N10, M5)."""

import sqlite3
from collections.abc import Iterator
from contextlib import suppress

from nexus_node.base.errors import LocalError
from nexus_node.base.ids import MessageId, NodeId
from nexus_node.base.states import State
from nexus_node.ports.store import Fact, Outgoing
from nexus_node.store.database import STATE_CODES, STATES, Database, Row

_SELECT = """SELECT id, recipient, object, created_ms, expires_ms, size, envelope, body,
    delivered_mark, read_mark, min_bandwidth, part_of, state, seq FROM outbox """


class OutboxTable(Database):
    """The table `outbox`. The fact `queued` is the row itself, as of `created_ms`."""

    def add_outgoing(self, message: Outgoing) -> int:
        size = len(message.body) + message.size
        self._take_room(size, "a message")
        try:
            cursor = self._write(
                """INSERT INTO outbox (id, recipient, object, created_ms, expires_ms, size, min_bandwidth,
                state, open, delivered_mark, read_mark, body, envelope, part_of, facts)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1, ?, ?, ?, ?, ?, '')""",
                (
                    message.id,
                    message.to,
                    message.object,
                    message.created_ms,
                    message.expires_ms,
                    message.size,
                    message.min_bandwidth,
                    STATE_CODES[State.QUEUED],
                    message.delivered_mark,
                    message.read_mark,
                    message.body,
                    message.envelope,
                    message.part_of,
                ),
            )
        except sqlite3.IntegrityError as error:
            self._counters.bytes -= size
            raise LocalError("the outbox has this message, or one of its marks, already") from error
        self._counters.states[State.QUEUED] += 1
        return cursor.lastrowid or 0

    def outgoing(self, message_id: MessageId) -> Outgoing | None:
        rows = self._read(_SELECT + "WHERE id = ?", (message_id,))
        return _outgoing(rows[0]) if rows else None

    def outbox(self, *, since_seq: int = 0, limit: int | None = None) -> Iterator[Outgoing]:
        sql = _SELECT + "WHERE seq > ? ORDER BY seq LIMIT ?"
        return map(_outgoing, self._pages(sql, (), since_seq, limit))

    def pending(
        self,
        to: NodeId,
        *,
        since_seq: int = 0,
        limit: int,
        bps: float = float("inf"),
        not_by: str = "",
    ) -> list[Outgoing]:
        which = "WHERE recipient = ? AND open = 1 AND seq > ? AND min_bandwidth <= ? "
        values: Row = (to, since_seq, bps)
        if not_by:
            which += "AND (state < ? OR facts NOT LIKE ?) "
            relayed = STATE_CODES[State.RELAYED]
            values += (relayed, f"%{relayed} % {not_by}\n%")
        sql = f"{_SELECT} {which} ORDER BY seq LIMIT ?"
        return [_outgoing(row) for row in self._read(sql, (*values, limit))]

    def parts(self, message_id: MessageId) -> list[Outgoing]:
        rows = self._read(_SELECT + "WHERE part_of = ? ORDER BY seq", (message_id,))
        return [_outgoing(row) for row in rows]

    def open_outgoing(self, prefix: bytes) -> Outgoing | None:
        rows = self._read(_SELECT + "WHERE open = 1 AND substr(object, 1, 8) = ? LIMIT 1", (prefix,))
        return _outgoing(rows[0]) if rows else None

    def recipients(self) -> list[NodeId]:
        return [NodeId(row[0]) for row in self._read("SELECT DISTINCT recipient FROM outbox WHERE open = 1")]

    def to_hold(self, to: NodeId, *, bps: float) -> list[Outgoing]:
        sql = _SELECT + "WHERE recipient = ? AND open = 1 AND state = ? AND min_bandwidth > ? ORDER BY seq"
        return [_outgoing(row) for row in self._read(sql, (to, STATE_CODES[State.QUEUED], bps))]

    def redate(self, step_ms: int, ttl_ms: int, *, since_seq: int) -> None:
        self._write(
            """UPDATE outbox SET created_ms = created_ms + ?1, expires_ms = created_ms + ?1 + ?2
            WHERE open = 1 AND seq > ?3""",
            (step_ms, ttl_ms, since_seq),
        )

    def find_by_mark(self, mark: bytes) -> tuple[Outgoing, State] | None:
        for which, state in (
            ("delivered_mark = ? AND state < 70", State.DELIVERED),  # as the index has it: few, and at hand
            ("read_mark = ?", State.READ),
        ):
            rows = self._read(f"{_SELECT} WHERE {which}", (mark,))
            if rows:
                return _outgoing(rows[0]), state
        return None

    def reseal(self, message: Outgoing) -> None:
        sizes = self._read("SELECT size FROM outbox WHERE id = ? AND open = 1", (message.id,))
        if not sizes:
            raise LocalError("no such message waits in the outbox")
        self._take_room(message.size - sizes[0][0], "a message")
        try:
            self._write(
                """UPDATE outbox SET object = ?, size = ?, envelope = ?, delivered_mark = ?, read_mark = ?
                WHERE id = ?""",
                (
                    message.object,
                    message.size,
                    message.envelope,
                    message.delivered_mark,
                    message.read_mark,
                    message.id,
                ),
            )
        except sqlite3.IntegrityError as error:
            self._counters.bytes -= message.size - sizes[0][0]
            raise LocalError("another message in the outbox has one of these marks") from error

    def add_facts(self, message: Outgoing, *facts: Fact) -> list[Fact]:
        before = message.state
        if facts[0].state.rank <= before.rank:  # it may have been recorded before
            known = {(fact.state, fact.by) for fact in self.facts(message.id)}
            facts = tuple(fact for fact in facts if (fact.state, fact.by) not in known)
        moving, state = [], before
        for fact in facts:
            if fact.state.rank > state.rank:
                moving.append(fact)
                state = fact.state
        if facts:
            lines = "".join(map(_line, facts))
            ended = ", open = 0, envelope = x''" if state.final else ""  # else their indexes stay untouched
            cursor = self._write(
                f"UPDATE outbox SET state = ?, facts = facts || ?{ended} WHERE seq = ? AND state = ?",
                (STATE_CODES[state], lines, message.seq, STATE_CODES[before]),
            )
            if cursor.rowcount == 0:
                return self.add_facts(self._refresh(message), *facts)
        if moving:
            self._counters.states[before] -= 1
            self._counters.states[state] += 1
            message.state = state
            if state.final and not before.final:
                self._counters.bytes -= message.size
                message.envelope = b""
        return moving

    def retire(self, message: Outgoing) -> None:
        sql = "UPDATE outbox SET open = 0, envelope = x'' WHERE id = ? AND open = 1"
        if self._write(sql, (message.id,)).rowcount:
            self._counters.bytes -= message.size
        message.envelope = b""

    def _refresh(self, message: Outgoing) -> Outgoing:
        """Bring a row up to date that something else has moved on."""
        stored = self.outgoing(message.id)
        if stored is None:
            raise LocalError("no such message in the outbox")
        message.seq, message.state, message.envelope = stored.seq, stored.state, stored.envelope
        return message

    def facts(self, message_id: MessageId) -> list[Fact]:
        rows = self._read("SELECT created_ms, facts FROM outbox WHERE id = ?", (message_id,))
        if not rows:
            return []
        created_ms, lines = rows[0]
        return [Fact(State.QUEUED, created_ms), *_parse_facts(lines)]

    def expired(self, now_ms: int) -> list[Outgoing]:
        sql = _SELECT + "WHERE open = 1 AND expires_ms <= ? ORDER BY expires_ms, seq"
        return [_outgoing(row) for row in self._read(sql, (now_ms,))]

    def next_expiry_ms(self) -> int | None:
        first: int | None = self._read("SELECT min(expires_ms) FROM outbox WHERE open = 1")[0][0]
        return first


def _outgoing(row: Row) -> Outgoing:
    return Outgoing(*(*row[:-2], STATES[row[-2]], row[-1]))


def _line(fact: Fact) -> str:
    return f"{STATE_CODES[fact.state]} {fact.at_ms} {fact.by}\n"


def _parse_facts(lines: str) -> Iterator[Fact]:
    for line in lines.split("\n")[:-1]:
        with suppress(ValueError, KeyError):  # the disk has damaged that one
            code, at_ms, by = line.split(" ", 2)
            yield Fact(STATES[int(code)], int(at_ms), by)
