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

NAMES_SINCE = 11
"""The layout that they came with."""
_NAME = 8
"""Bytes of an id or a read mark that `outbox_names` has of it."""
_WITHOUT = "FROM outbox WHERE seq > (SELECT upto FROM outbox_named)"
_NAME_ROWS = (
    f"""INSERT OR IGNORE INTO outbox_names SELECT substr(id, 1, {_NAME}), seq {_WITHOUT}
        UNION ALL SELECT substr(read_mark, 1, {_NAME}), seq {_WITHOUT} ORDER BY 1""",
    "UPDATE outbox_named SET upto = (SELECT coalesce(max(seq), 0) FROM outbox)",
)
_NAMED_AT_MOST = "UPDATE outbox_named SET upto = min(upto, (SELECT coalesce(max(seq), 0) FROM outbox))"
NAMED_WRONG = """SELECT count(*) <> 1 OR NOT
    total(upto BETWEEN 0 AND (SELECT coalesce(max(seq), 0) FROM outbox)) FROM outbox_named"""
"""Whether it is not known which rows have names."""
_HAS = f"EXISTS (SELECT 1 FROM outbox_names WHERE name = substr({{}}, 1, {_NAME}) AND seq = outbox.seq)"
NAMES_LACK = f"""SELECT EXISTS (SELECT 1 FROM outbox WHERE seq <= (SELECT upto FROM outbox_named)
    AND NOT ({_HAS.format("id")} AND {_HAS.format("read_mark")}))"""
"""Whether a row has no names that should have: `PRAGMA integrity_check` says so of real indexes only."""


class OutboxTable(Database):
    """The table `outbox`. The fact `queued` is the row itself, as of `created_ms`.

    Rows are found by id and read mark, which are random, so their names are written in order and many at a
    time: one by one each made a page of its own to be written with the row. Until then they are in memory.
    """

    _unnamed_most = 1024
    """Rows that may be without names in the table: they are known in memory."""

    def _load(self) -> None:
        super()._load()
        if self._read(f"SELECT count(*) {_WITHOUT}")[0][0] >= self._unnamed_most:  # migrated, or recovered
            for statement in ("BEGIN IMMEDIATE", *_NAME_ROWS, "COMMIT"):
                self._run(statement)
        self._unnamed = dict[bytes, int]()
        """The `seq` of each row without names, by its id and its read mark."""
        for seq, *names in self._read(f"SELECT seq, id, read_mark {_WITHOUT}"):
            self._unnamed.update(dict.fromkeys(names, seq))
        self._names_going = False

    def _before_commit(self) -> None:
        super()._before_commit()
        if len(self._unnamed) >= 2 * self._unnamed_most and self._journal:
            for statement in _NAME_ROWS:
                self._write(statement)
            self._names_going = True

    def _after_commit(self) -> None:
        super()._after_commit()
        if self._names_going:
            self._unnamed.clear()
            self._names_going = False

    def _gone_back(self) -> None:
        super()._gone_back()
        self._names_going = False

    def _where(self, column: str, name: bytes, seq: int = 0) -> tuple[str, Row]:
        """The condition for the row whose id or read mark this is, and its values; `seq` if it is known."""
        condition = (
            f"seq IN (SELECT ? UNION ALL SELECT seq FROM outbox_names WHERE name = ?) AND {column} = ?"
        )
        return condition, (self._unnamed.get(name, seq), name[:_NAME], name)

    def add_outgoing(self, message: Outgoing) -> int:
        if message.id in self._unnamed or message.read_mark in self._unnamed:
            raise LocalError(_TWICE)
        size = len(message.body) + message.size
        self._take_room(size, "a message")
        try:
            cursor = self._write(
                """INSERT INTO outbox (id, recipient, object, created_ms, expires_ms, size,
                min_bandwidth, state, open, delivered_mark, read_mark, body, envelope, part_of, facts)
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
            raise LocalError(_TWICE) from error
        seq = cursor.lastrowid or 0
        self._keep(self._unnamed, message.id, seq)
        self._keep(self._unnamed, message.read_mark, seq)
        self._counters.states[State.QUEUED] += 1
        return seq

    def outgoing(self, message_id: MessageId) -> Outgoing | None:
        return self._outgoing_by("id", message_id)

    def _outgoing_by(self, column: str, name: bytes) -> Outgoing | None:
        where, values = self._where(column, name)
        rows = self._read(f"{_SELECT} WHERE {where}", values)
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
        which = "delivered_mark = ? AND state < 70"  # as the index has it: few, and at hand
        rows = self._read(f"{_SELECT} WHERE {which}", (mark,))
        if rows:
            return _outgoing(rows[0]), State.DELIVERED
        row = self._outgoing_by("read_mark", mark)
        return (row, State.READ) if row is not None else None

    def reseal(self, message: Outgoing) -> None:
        where, values = self._where("id", message.id, message.seq)
        found = self._read(f"SELECT seq, size, read_mark FROM outbox WHERE {where} AND open = 1", values)
        if not found:
            raise LocalError("no such message waits in the outbox")
        seq, size, mark = found[0]
        self._take_room(message.size - size, "a message")
        try:
            self._write(
                """UPDATE outbox SET object = ?, size = ?, envelope = ?, delivered_mark = ?, read_mark = ?
                WHERE seq = ?""",
                (
                    message.object,
                    message.size,
                    message.envelope,
                    message.delivered_mark,
                    message.read_mark,
                    seq,
                ),
            )
        except sqlite3.IntegrityError as error:
            self._counters.bytes -= message.size - size
            raise LocalError("another message in the outbox has one of these marks") from error
        if message.read_mark != mark:
            self._write("DELETE FROM outbox_names WHERE name = ? AND seq = ?", (mark[:_NAME], seq))
            self._write("INSERT OR IGNORE INTO outbox_names VALUES (?, ?)", (message.read_mark[:_NAME], seq))

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
        where, values = self._where("id", message.id, message.seq)
        sql = f"UPDATE outbox SET open = 0, envelope = x'' WHERE {where} AND open = 1"
        if self._write(sql, values).rowcount:
            self._counters.bytes -= message.size
        message.envelope = b""

    def _drop_outgoing(self, message: Outgoing) -> None:
        """Remove a row that is final, and its names."""
        self._write("DELETE FROM outbox WHERE seq = ?", (message.seq,))
        self._write(_NAMED_AT_MOST)  # the next row may get its `seq`
        for name in (message.id, message.read_mark):
            self._write("DELETE FROM outbox_names WHERE name = ? AND seq = ?", (name[:_NAME], message.seq))
            self._keep(self._unnamed, name, None)
        self._counters.bytes -= len(message.body)
        self._counters.states[message.state] -= 1

    def _refresh(self, message: Outgoing) -> Outgoing:
        """Bring a row up to date that something else has moved on."""
        stored = self.outgoing(message.id)
        if stored is None:
            raise LocalError("no such message in the outbox")
        message.seq, message.state, message.envelope = stored.seq, stored.state, stored.envelope
        return message

    def facts(self, message_id: MessageId) -> list[Fact]:
        where, values = self._where("id", message_id)
        rows = self._read(f"SELECT created_ms, facts FROM outbox WHERE {where}", values)
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


_TWICE = "the outbox has this message, or one of its marks, already"


def _outgoing(row: Row) -> Outgoing:
    return Outgoing(*(*row[:-2], STATES[row[-2]], row[-1]))


def _line(fact: Fact) -> str:
    return f"{STATE_CODES[fact.state]} {fact.at_ms} {fact.by}\n"


def _parse_facts(lines: str) -> Iterator[Fact]:
    for line in lines.split("\n")[:-1]:
        with suppress(ValueError, KeyError):  # the disk has damaged that one
            code, at_ms, by = line.split(" ", 2)
            yield Fact(STATES[int(code)], int(at_ms), by)
