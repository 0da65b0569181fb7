"""Who we know, whom we met behind which carrier, and small facts by key."""

import sqlite3

from nexus_node.base.errors import InputError
from nexus_node.base.ids import NODE_ID_SIZE, NodeId
from nexus_node.base.limits import CORRESPONDENTS_MAX
from nexus_node.ports.store import Correspondent
from nexus_node.store.database import Database, Row

_SELECT = "SELECT node_id, address, name, trust, knows_us, seen_ms, relays FROM correspondents "


class PeopleTable(Database):
    """The tables `correspondents`, `neighbours` and `meta`."""

    def put_correspondent(self, who: Correspondent) -> None:
        try:
            self._write(
                """INSERT INTO correspondents (node_id, address, name, trust, knows_us, seen_ms, relays)
                VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (node_id) DO UPDATE SET address = excluded.address,
                name = excluded.name, trust = excluded.trust, knows_us = excluded.knows_us,
                seen_ms = excluded.seen_ms, relays = excluded.relays""",
                (
                    who.node_id,
                    who.address,
                    who.name,
                    who.trust,
                    who.knows_us,
                    who.seen_ms,
                    b"".join(who.relays),
                ),
            )
        except sqlite3.IntegrityError as error:
            raise InputError(
                f"another contact is called {who.name!r} already; choose another name"
            ) from error
        if who.name is None:
            self._write(
                """DELETE FROM correspondents WHERE seq IN (SELECT seq FROM correspondents
                WHERE name IS NULL ORDER BY seen_ms DESC, seq DESC LIMIT -1 OFFSET ?)""",
                (CORRESPONDENTS_MAX,),
            )

    def correspondent(self, node_id: NodeId) -> Correspondent | None:
        rows = self._read(_SELECT + "WHERE node_id = ?", (node_id,))
        return _correspondent(rows[0]) if rows else None

    def contact(self, name: str) -> Correspondent | None:
        rows = self._read(_SELECT + "WHERE name = ?", (name,))
        return _correspondent(rows[0]) if rows else None

    def correspondents(self) -> list[Correspondent]:
        rows = self._read(_SELECT + "ORDER BY name IS NULL, name, seen_ms DESC, seq DESC")
        return [_correspondent(row) for row in rows]

    def remember_neighbour(self, label: str, node_id: NodeId) -> None:
        if self.neighbour(label) == node_id:
            return
        self._write("INSERT OR REPLACE INTO neighbours (label, node_id) VALUES (?, ?)", (label, node_id))
        # Datagram sources make labels without end: the longest known go, as many as strangers do.
        self._write(
            "DELETE FROM neighbours WHERE seq <= (SELECT max(seq) FROM neighbours) - ?", (CORRESPONDENTS_MAX,)
        )

    def neighbour(self, label: str) -> NodeId | None:
        rows = self._read("SELECT node_id FROM neighbours WHERE label = ?", (label,))
        return rows[0][0] if rows else None

    def get_meta(self, key: str) -> bytes | None:
        rows = self._read("SELECT value FROM meta WHERE key = ?", (key,))
        return rows[0][0] if rows else None

    def set_meta(self, key: str, value: bytes) -> None:
        self._write(
            """INSERT INTO meta (key, value) VALUES (?, ?)
            ON CONFLICT (key) DO UPDATE SET value = excluded.value""",
            (key, value),
        )


def _correspondent(row: Row) -> Correspondent:
    node_id, address, name, trust, knows_us, seen_ms, relays = row
    named = tuple(
        NodeId(relays[at : at + NODE_ID_SIZE])
        for at in range(0, len(relays) - NODE_ID_SIZE + 1, NODE_ID_SIZE)
    )
    return Correspondent(node_id, address, name, trust, bool(knows_us), seen_ms, named)
