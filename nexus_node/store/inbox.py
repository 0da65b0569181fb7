"""Messages that came for us, each once (N10)."""

from collections.abc import Iterator

from nexus_node.base.errors import StoreFull
from nexus_node.base.ids import MessageId, NodeId
from nexus_node.ports.store import Incoming
from nexus_node.store.database import Database, Row

_SELECT = "SELECT id, sender, sent_ms, received_ms, body, delivered, read, read_ms, seq FROM inbox "


class InboxTable(Database):
    """The table `inbox`."""

    def add_incoming(self, message: Incoming) -> bool:
        size = len(message.body)
        try:
            self._take_room(size, "a message")
        except StoreFull:
            if self.incoming(message.id) is None:
                raise
            return False
        cursor = self._write(
            """INSERT OR IGNORE INTO inbox (id, sender, sent_ms, received_ms, body, delivered, read, read_ms)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?)""",
            (
                message.id,
                message.sender,
                message.sent_ms,
                message.received_ms,
                message.body,
                message.delivered,
                message.read,
                message.read_ms,
            ),
        )
        if cursor.rowcount == 0:
            self._counters.bytes -= size
        return cursor.rowcount == 1

    def incoming(self, message_id: MessageId) -> Incoming | None:
        rows = self._read(_SELECT + "WHERE id = ?", (message_id,))
        return _incoming(rows[0]) if rows else None

    def inbox(
        self, *, since_seq: int = 0, sender: NodeId | None = None, limit: int | None = None
    ) -> Iterator[Incoming]:
        which, values = ("", ()) if sender is None else ("sender = ? AND ", (sender,))
        sql = f"{_SELECT} WHERE {which} seq > ? ORDER BY seq LIMIT ?"
        return map(_incoming, self._pages(sql, values, since_seq, limit))

    def mark_read(self, message_id: MessageId, at_ms: int) -> bool:
        cursor = self._write(
            "UPDATE inbox SET read_ms = ? WHERE id = ? AND read_ms IS NULL", (at_ms, message_id)
        )
        return cursor.rowcount == 1


def _incoming(row: Row) -> Incoming:
    return Incoming(*row)
