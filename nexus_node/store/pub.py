"""What this node has subscribed to (N8)."""

from nexus_node.store.database import Database
from nexus_node.wire.pub import Mode, Topic, TopicKind


class PubTable(Database):
    """The table `subscriptions`."""

    def put_subscription(self, topic: Topic, mode: Mode) -> None:
        self._write(
            """INSERT INTO subscriptions (kind, value, mode) VALUES (?, ?, ?)
            ON CONFLICT (kind, value) DO UPDATE SET mode = excluded.mode""",
            (topic.kind, topic.value, mode),
        )

    def drop_subscription(self, topic: Topic) -> bool:
        sql = "DELETE FROM subscriptions WHERE kind = ? AND value = ?"
        return self._write(sql, (topic.kind, topic.value)).rowcount == 1

    def subscriptions(self) -> list[tuple[Topic, Mode]]:
        rows = self._read("SELECT kind, value, mode FROM subscriptions ORDER BY seq")
        return [(Topic(TopicKind(kind), value), Mode(mode)) for kind, value, mode in rows]
