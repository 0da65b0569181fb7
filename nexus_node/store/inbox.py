"""Messages that came for us, each once (N10)."""

from collections.abc import Iterator

from nexus_node.base.errors import StoreFull
from nexus_node.base.ids import MessageId, NodeId, ObjectId
from nexus_node.ports.store import Expected, Incoming
from nexus_node.store.database import Database, Row

_SELECT = """SELECT id, sender, sent_ms, received_ms, body, delivered, read, read_ms, first, files, seq
    FROM inbox """


class InboxTable(Database):
    """The tables `inbox` and `expected`."""

    def add_incoming(self, message: Incoming) -> bool:
        size = len(message.body) + len(message.files)
        try:
            self._take_room(size, "a message")
        except StoreFull:
            if self.receipt_of(message.id) is None:
                raise
            return False
        cursor = self._write(
            """INSERT OR IGNORE INTO inbox
            (id, sender, sent_ms, received_ms, body, delivered, read, read_ms, first, files)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
            (
                message.id,
                message.sender,
                message.sent_ms,
                message.received_ms,
                message.body,
                message.delivered,
                message.read,
                message.read_ms,
                message.first,
                message.files,
            ),
        )
        if cursor.rowcount == 0:
            self._counters.bytes -= size
        return cursor.rowcount == 1

    def incoming(self, message_id: MessageId) -> Incoming | None:
        rows = self._read(_SELECT + "WHERE id = ? OR first = ?", (message_id, message_id))
        return _incoming(rows[0]) if rows else None

    def incoming_before(self, sender: NodeId, message_id: MessageId) -> bool:
        # The plus keeps SQLite from going through all of that sender's messages.
        sql = "SELECT 1 FROM inbox WHERE +sender = ?1 AND (id = ?2 OR first = ?2) LIMIT 1"
        return bool(self._read(sql, (sender, message_id)))

    def incoming_called(self, prefix: bytes) -> tuple[NodeId, bytes] | None:
        sql = "SELECT sender, delivered FROM inbox WHERE id >= ? AND id < ? LIMIT 1"
        rows = self._read(sql, (prefix, prefix + b"\xff" * 25))
        return (rows[0][0], rows[0][1]) if rows else None

    def inbox(
        self, *, since_seq: int = 0, sender: NodeId | None = None, limit: int | None = None
    ) -> Iterator[Incoming]:
        which, values = ("", ()) if sender is None else ("sender = ? AND ", (sender,))
        sql = f"{_SELECT} WHERE {which} seq > ? ORDER BY seq LIMIT ?"
        return map(_incoming, self._pages(sql, values, since_seq, limit))

    def receipt_of(self, message_id: MessageId) -> tuple[NodeId, bytes] | None:
        rows = self._read("SELECT sender, delivered FROM inbox WHERE id = ?", (message_id,))
        return (rows[0][0], rows[0][1]) if rows else None

    def mark_read(self, message_id: MessageId, at_ms: int, *, tell: int = 0) -> bool:
        cursor = self._write(
            "UPDATE inbox SET read_ms = ?, tell = ? WHERE id = ? AND read_ms IS NULL",
            (at_ms, tell, message_id),
        )
        return cursor.rowcount == 1

    def to_tell(self, sender: NodeId, *, limit: int) -> list[tuple[int, bytes]]:
        sql = "SELECT seq, read FROM inbox WHERE sender = ? AND tell > 0 ORDER BY seq LIMIT ?"
        return [(seq, read) for seq, read in self._read(sql, (sender, limit))]

    def told(self, seq: int) -> None:
        self._write("UPDATE inbox SET tell = tell - 1 WHERE seq = ? AND tell > 0", (seq,))

    # --- attached files -------------------------------------------------------------------------
    def expect(self, expected: Expected) -> bool:
        cursor = self._write(
            """INSERT OR IGNORE INTO expected (object, message, sender, min_bandwidth, receipt, arrived_ms)
            VALUES (?, ?, ?, ?, ?, ?)""",
            (
                expected.object,
                expected.message,
                expected.sender,
                expected.min_bandwidth,
                expected.receipt,
                expected.arrived_ms,
            ),
        )
        return cursor.rowcount == 1

    def expected(self, prefix: bytes) -> list[Expected]:
        sql = """SELECT object, message, sender, min_bandwidth, receipt, arrived_ms, ended FROM expected
            WHERE object >= ? AND object < ? ORDER BY seq LIMIT 64"""
        return [Expected(*row) for row in self._read(sql, (prefix, prefix + b"\xff" * 33))]

    def arrived(self, object_id: ObjectId, at_ms: int) -> None:
        self._write("UPDATE expected SET arrived_ms = ? WHERE object = ? AND ended = ''", (at_ms, object_id))

    def end_expected(self, expected: Expected, how: str, receipt: bytes) -> None:
        sql = "UPDATE expected SET ended = ?, receipt = ? WHERE object = ? AND message = ?"
        self._write(sql, (how, receipt, expected.object, expected.message))


def _incoming(row: Row) -> Incoming:
    return Incoming(*row)
