"""Groups: their operations, keys and messages (N11, N12)."""

import sqlite3
from collections.abc import Iterator
from enum import IntEnum
from struct import Struct

from nexus_node.base.errors import InputError, LocalError
from nexus_node.base.ids import MessageId
from nexus_node.base.states import State
from nexus_node.ports.groups import HeldMessage, Letter, SentMessage, Standing, StoredEpoch, StoredGroup
from nexus_node.store.database import STATE_CODES, STATES, Row
from nexus_node.store.outbox import OutboxTable
from nexus_node.wire.group import ID_SIZE, GroupId, OperationId

_GROUP = "SELECT id, name, standing, inviter, created_ms FROM groups "
_DELIVERY = Struct("<BBQ")
_HINT = 2
_LENGTH = Struct("<I")


class _Kind(IntEnum):
    """What a row of `group_rows` is; `id`, `place`, `at_ms` and `data` of each."""

    OPERATION = 0
    """Its id; -; -; as signed."""
    EPOCH = 1
    """The operation's id; -; since when; hint 2, body."""
    CHAIN = 2
    """The epoch's id; the sender's place; -; body."""
    WAITING = 3
    """The message's id; -; received; the message."""
    INBOX = 4
    """The message's id; -; -; -."""
    SENT = 5
    """The message's id; -; composed; the epoch's id 16, length u32 and the message, body."""
    DELIVERY = 6
    """The message's id, or the epoch's; -; -; for each member: place u8, state u8, ms u64."""
    LETTER = 7
    """The outbox row's id; the member's place; -; the message's id or nothing."""
    KEPT = 8
    """As WAITING, of a message that was read or sent."""


_COUNTED = (_Kind.OPERATION, _Kind.WAITING, _Kind.SENT, _Kind.KEPT)
"""The rows whose data count against the quota: what others can make grow, and texts (`Database._count`)."""


class GroupTable(OutboxTable):
    """The tables `groups` and `group_rows`; letters about groups are rows of the outbox."""

    def put_group(self, group: StoredGroup) -> None:
        values = (group.name, int(group.standing), group.inviter)
        try:
            if self.group(group.id) is None:
                self._write(
                    "INSERT INTO groups (name, standing, inviter, id, created_ms) VALUES (?, ?, ?, ?, ?)",
                    (*values, group.id, group.created_ms),
                )
            else:
                self._write(
                    "UPDATE groups SET name = ?, standing = ?, inviter = ? WHERE id = ?", (*values, group.id)
                )
        except sqlite3.IntegrityError as error:
            raise InputError(
                f"another group is called {group.name!r} already; choose another name"
            ) from error

    def group(self, group_id: GroupId) -> StoredGroup | None:
        rows = self._read(_GROUP + "WHERE id = ?", (group_id,))
        return _group(rows[0]) if rows else None

    def groups(self) -> list[StoredGroup]:
        return [_group(row) for row in self._read(_GROUP + "ORDER BY name")]

    def drop_group(self, group_id: GroupId) -> None:
        number = self._number(group_id)
        counted = "SELECT total(length(data)) FROM group_rows WHERE grp = ? AND kind IN (0, 3, 5, 8)"
        freed = int(self._read(counted, (number,))[0][0])
        self._write("DELETE FROM group_rows WHERE grp = ?", (number,))
        self._write("DELETE FROM groups WHERE seq = ?", (number,))
        self._counters.bytes -= freed

    # --- operations and keys --------------------------------------------------------------------
    def add_operation(self, group_id: GroupId, operation_id: OperationId, data: bytes) -> bool:
        return self._add(group_id, _Kind.OPERATION, operation_id, data)

    def operations(self, group_id: GroupId) -> list[bytes]:
        return [row[-1] for row in self._all(group_id, _Kind.OPERATION)]

    def drop_operation(self, group_id: GroupId, operation_id: OperationId) -> None:
        self._drop(_Kind.OPERATION, operation_id, self._number(group_id))

    def put_epoch(self, group_id: GroupId, epoch: StoredEpoch) -> None:
        data = epoch.hint + epoch.body
        if not self._add(group_id, _Kind.EPOCH, epoch.id, data, at_ms=epoch.since_ms):
            self._change(group_id, _Kind.EPOCH, epoch.id, data)

    def epochs(self, group_id: GroupId) -> list[StoredEpoch]:
        return [
            StoredEpoch(epoch, data[:_HINT], data[_HINT:], at_ms)
            for epoch, _, at_ms, data in self._all(group_id, _Kind.EPOCH)
        ]

    def drop_epoch(self, group_id: GroupId, epoch: OperationId) -> None:
        number = self._number(group_id)
        for kind in (_Kind.EPOCH, _Kind.CHAIN, _Kind.DELIVERY):
            self._drop(kind, epoch, number)

    def put_chain(self, group_id: GroupId, epoch: OperationId, place: int, body: bytes) -> None:
        if not self._add(group_id, _Kind.CHAIN, epoch, body, place=place):
            self._change(group_id, _Kind.CHAIN, epoch, body, place=place)

    def chains(self, group_id: GroupId, epoch: OperationId) -> list[tuple[int, bytes]]:
        sql = "SELECT place, data FROM group_rows WHERE id = ? AND kind = ? AND grp = ? ORDER BY place"
        rows = self._read(sql, (epoch, int(_Kind.CHAIN), self._number(group_id)))
        return [(place, body) for place, body in rows]

    # --- messages -------------------------------------------------------------------------------
    def hold_group_message(self, group_id: GroupId, message: HeldMessage, *, most: int) -> list[MessageId]:
        self._add(group_id, _Kind.WAITING, message.id, message.data, at_ms=message.received_ms)
        older = [one.id for one in self.held_group_messages(group_id)[:-most]]
        for message_id in older:
            self.drop_group_message(message_id)
        return older

    def held_group_messages(self, group_id: GroupId) -> list[HeldMessage]:
        rows = self._all(group_id, _Kind.WAITING)
        return [HeldMessage(message_id, data, at_ms) for message_id, _, at_ms, data in rows]

    def drop_group_message(self, message_id: MessageId) -> None:
        self._drop(_Kind.WAITING, message_id)

    def keep_group_message(self, group_id: GroupId, message: HeldMessage, *, most: int) -> None:
        if not self._add(group_id, _Kind.KEPT, message.id, message.data, at_ms=message.received_ms):
            return
        rows = self._read(
            "SELECT id, length(data) FROM group_rows WHERE grp = ? AND kind = ? ORDER BY seq",
            (self._number(group_id), int(_Kind.KEPT)),
        )
        over = sum(size for _, size in rows) - most
        for message_id, size in rows:
            if over <= 0:
                break
            over -= size
            self._drop(_Kind.KEPT, message_id)

    def kept_group_messages(self, group_id: GroupId) -> list[HeldMessage]:
        rows = self._all(group_id, _Kind.KEPT)
        return [HeldMessage(message_id, data, at_ms) for message_id, _, at_ms, data in rows]

    def drop_kept_group_messages(self, group_id: GroupId, before_ms: int) -> None:
        sql = "SELECT id FROM group_rows WHERE grp = ? AND kind = ? AND at_ms < ?"
        for (message_id,) in self._read(sql, (self._number(group_id), int(_Kind.KEPT), before_ms)):
            self._drop(_Kind.KEPT, message_id)

    def mark_group(self, message_id: MessageId, group_id: GroupId) -> None:
        self._add(group_id, _Kind.INBOX, message_id, b"")

    def group_of(self, message_id: MessageId) -> GroupId | None:
        found = self._one(_Kind.INBOX, message_id)
        return GroupId(found[0]) if found is not None else None

    def add_sent(self, message: SentMessage) -> int:
        data = message.epoch + _LENGTH.pack(len(message.message)) + message.message + message.body
        self._add(message.group, _Kind.SENT, message.id, data, at_ms=message.created_ms)
        seq: int = self._read(
            "SELECT seq FROM group_rows WHERE id = ? AND kind = ?", (message.id, int(_Kind.SENT))
        )[0][0]
        return seq

    def sent(self, message_id: MessageId) -> SentMessage | None:
        rows = self._read(_SENT + "AND group_rows.id = ?", (message_id,))
        return _sent(rows[0]) if rows else None

    def all_sent(self, *, since_seq: int = 0, limit: int | None = None) -> Iterator[SentMessage]:
        sql = _SENT + "AND group_rows.seq > ? ORDER BY group_rows.seq LIMIT ?"
        return map(_sent, self._pages(sql, (), since_seq, limit))

    def expect_delivery(self, group_id: GroupId, about: bytes, places: list[int], at_ms: int) -> None:
        queued = STATE_CODES[State.QUEUED]
        states = b"".join(_DELIVERY.pack(place, queued, at_ms) for place in places)
        self._add(group_id, _Kind.DELIVERY, about, states)

    def set_delivery(self, about: bytes, place: int, state: State, at_ms: int) -> bool:
        found = self._one(_Kind.DELIVERY, about)
        if found is None:
            return False
        group_id, _, data = found
        states = list(_DELIVERY.iter_unpack(data))
        for at, (whose, code, _) in enumerate(states):
            if whose == place and code < STATE_CODES[state]:
                states[at] = (place, STATE_CODES[state], at_ms)
                packed = b"".join(_DELIVERY.pack(*one) for one in states)
                self._change(GroupId(group_id), _Kind.DELIVERY, about, packed)
                return True
        return False

    def deliveries(self, about: bytes) -> list[tuple[int, State, int]]:
        found = self._one(_Kind.DELIVERY, about)
        states = _DELIVERY.iter_unpack(found[2]) if found is not None else ()
        return [(place, STATES[code], at_ms) for place, code, at_ms in states]

    # --- letters --------------------------------------------------------------------------------
    def add_letter(self, letter: Letter) -> None:
        self._add(letter.group, _Kind.LETTER, letter.id, letter.about, place=letter.place)

    def letter(self, message_id: MessageId) -> Letter | None:
        found = self._one(_Kind.LETTER, message_id)
        return Letter(message_id, GroupId(found[0]), found[2], found[1]) if found is not None else None

    def drop_letter(self, message_id: MessageId) -> None:
        row = self.outgoing(message_id)
        if row is not None:
            if not row.state.final:
                raise LocalError("a letter that is still on its way")
            self._drop_outgoing(row)
        self._drop(_Kind.LETTER, message_id)

    def letters(self) -> list[Letter]:
        sql = """SELECT group_rows.id, groups.id, data, place FROM group_rows
            JOIN groups ON groups.seq = grp WHERE kind = ? ORDER BY group_rows.seq"""
        return [Letter(*row) for row in self._read(sql, (int(_Kind.LETTER),))]

    # --- rows -----------------------------------------------------------------------------------
    def _number(self, group_id: GroupId) -> int:
        rows = self._read("SELECT seq FROM groups WHERE id = ?", (group_id,))
        return rows[0][0] if rows else 0

    def _add(
        self, group_id: GroupId, kind: _Kind, row_id: bytes, data: bytes, *, place: int = 0, at_ms: int = 0
    ) -> bool:
        """Insert; False, changing nothing, if it is there."""
        counted = len(data) if kind in _COUNTED else 0
        if counted:
            self._take_room(counted, "a group")
        cursor = self._write(
            """INSERT OR IGNORE INTO group_rows (grp, kind, id, place, at_ms, data)
            VALUES ((SELECT seq FROM groups WHERE id = ?), ?, ?, ?, ?, ?)""",
            (group_id, int(kind), row_id, place, at_ms, data),
        )
        if cursor.rowcount == 0:
            self._counters.bytes -= counted
        return cursor.rowcount == 1

    def _change(self, group_id: GroupId, kind: _Kind, row_id: bytes, data: bytes, *, place: int = 0) -> None:
        self._write(
            "UPDATE group_rows SET data = ? WHERE id = ? AND kind = ? AND grp = ? AND place = ?",
            (data, row_id, int(kind), self._number(group_id), place),
        )

    def _one(self, kind: _Kind, row_id: bytes) -> tuple[bytes, int, bytes] | None:
        """(group, place, data) of the row of that kind with that id, in whatever group."""
        sql = """SELECT groups.id, place, data FROM group_rows JOIN groups ON groups.seq = grp
            WHERE group_rows.id = ? AND kind = ?"""
        rows = self._read(sql, (row_id, int(kind)))
        return (rows[0][0], rows[0][1], rows[0][2]) if rows else None

    def _all(self, group_id: GroupId, kind: _Kind) -> list[Row]:
        """(id, place, at_ms, data) in the order they came."""
        sql = "SELECT id, place, at_ms, data FROM group_rows WHERE grp = ? AND kind = ? ORDER BY seq"
        return self._read(sql, (self._number(group_id), int(kind)))

    def _drop(self, kind: _Kind, row_id: bytes, number: int | None = None) -> None:
        which = "FROM group_rows WHERE id = ? AND kind = ?" + ("" if number is None else " AND grp = ?")
        values: Row = (row_id, int(kind)) if number is None else (row_id, int(kind), number)
        for (size,) in self._read("SELECT length(data) " + which, values):
            self._write("DELETE " + which, values)
            self._counters.bytes -= size if kind in _COUNTED else 0


_SENT = f"""SELECT group_rows.id, groups.id, at_ms, data, group_rows.seq
    FROM group_rows JOIN groups ON groups.seq = grp WHERE kind = {int(_Kind.SENT)} """


def _sent(row: Row) -> SentMessage:
    message_id, group_id, created_ms, data, seq = row
    start = ID_SIZE + _LENGTH.size
    end = start + _LENGTH.unpack_from(data, ID_SIZE)[0]
    epoch = OperationId(data[:ID_SIZE])
    return SentMessage(message_id, group_id, epoch, created_ms, data[start:end], data[end:], seq)


def _group(row: Row) -> StoredGroup:
    group_id, name, standing, inviter, created_ms = row
    return StoredGroup(group_id, name, Standing(standing), inviter, created_ms)
