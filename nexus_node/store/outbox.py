"""Messages going out, and how far each has come (N9, N10, M5)."""

import sqlite3
from collections.abc import Iterator

from nexus_node.base.errors import LocalError
from nexus_node.base.ids import MessageId, NodeId, ObjectId
from nexus_node.base.states import State
from nexus_node.ports.store import Fact, Outgoing
from nexus_node.store.database import STATE_CODES, STATES, Row
from nexus_node.store.objects import ObjectTable

_SELECT = """SELECT id, recipient, object, created_ms, expires_ms, size, body, delivered_mark, read_mark,
    min_bandwidth, state, seq FROM outbox """


class OutboxTable(ObjectTable):
    """The tables `outbox` and `facts`. The fact `queued` is the row itself, as of `created_ms`."""

    def add_outgoing(self, message: Outgoing) -> int:
        size = len(message.body)
        self._take_room(size, "a message")
        try:
            cursor = self._write(
                """INSERT INTO outbox (id, recipient, object, created_ms, expires_ms, size, min_bandwidth,
                state, open, delivered_mark, read_mark, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1, ?, ?, ?)""",
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
        self, to: NodeId, *, since_seq: int = 0, limit: int, bps: float = float("inf")
    ) -> list[Outgoing]:
        sql = (
            _SELECT
            + "WHERE recipient = ? AND open = 1 AND seq > ? AND min_bandwidth <= ? ORDER BY seq LIMIT ?"
        )
        return [_outgoing(row) for row in self._read(sql, (to, since_seq, bps, limit))]

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
        for column, state in (("delivered_mark", State.DELIVERED), ("read_mark", State.READ)):
            rows = self._read(f"{_SELECT} WHERE {column} = ?", (mark,))
            if rows:
                return _outgoing(rows[0]), state
        return None

    def reseal(self, message: Outgoing) -> None:
        try:
            cursor = self._write(
                "UPDATE outbox SET object = ?, size = ?, delivered_mark = ?, read_mark = ? WHERE id = ?",
                (message.object, message.size, message.delivered_mark, message.read_mark, message.id),
            )
        except sqlite3.IntegrityError as error:
            raise LocalError("another message in the outbox has one of these marks") from error
        if cursor.rowcount == 0:
            raise LocalError("no such message in the outbox")

    def add_fact(self, message_id: MessageId, fact: Fact) -> bool:
        rows = self._read("SELECT seq, state, object FROM outbox WHERE id = ?", (message_id,))
        if not rows:
            raise LocalError("no such message in the outbox")
        seq, code, envelope = rows[0]
        state, new_code = fact.state, STATE_CODES[fact.state]
        if state is State.QUEUED and not fact.by:
            return False
        self._write(
            "INSERT OR IGNORE INTO facts (message, state, evidence, at_ms) VALUES (?, ?, ?, ?)",
            (seq, new_code, fact.by, fact.at_ms),
        )
        if new_code <= code:  # codes rise in rank
            return False
        before = STATES[code]
        if state.final:
            self._write("UPDATE outbox SET state = ?, open = 0 WHERE seq = ?", (new_code, seq))
        else:  # leaves the indexes of open rows alone
            self._write("UPDATE outbox SET state = ? WHERE seq = ?", (new_code, seq))
        self._counters.states[before] -= 1
        self._counters.states[state] += 1
        if state.final and not before.final:
            self.delete_object(ObjectId(envelope))
        return True

    def facts(self, message_id: MessageId) -> list[Fact]:
        rows = self._read("SELECT seq, created_ms FROM outbox WHERE id = ?", (message_id,))
        if not rows:
            return []
        seq, created_ms = rows[0]
        later = self._read("SELECT state, at_ms, evidence FROM facts WHERE message = ? ORDER BY seq", (seq,))
        return [Fact(State.QUEUED, created_ms), *(Fact(STATES[code], at, by) for code, at, by in later)]

    def expired(self, now_ms: int) -> list[Outgoing]:
        sql = _SELECT + "WHERE open = 1 AND expires_ms <= ? ORDER BY expires_ms, seq"
        return [_outgoing(row) for row in self._read(sql, (now_ms,))]

    def next_expiry_ms(self) -> int | None:
        first: int | None = self._read("SELECT min(expires_ms) FROM outbox WHERE open = 1")[0][0]
        return first


def _outgoing(row: Row) -> Outgoing:
    return Outgoing(*(*row[:-2], STATES[row[-2]], row[-1]))
