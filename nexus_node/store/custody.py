"""What is kept for absent recipients, and what may go to make room for more (N7, N10)."""

from operator import itemgetter

from nexus_node.base import limits
from nexus_node.base.errors import StoreFull
from nexus_node.base.ids import Address, NodeId
from nexus_node.ports.custody import Admission, Held, Receipt, Slip
from nexus_node.store.database import Database, Row

_HELD = "id, destination, data, mark, giver, rank, promised, received_ms, expires_ms, kind, size"
_HOUR_MS = 3_600_000
_GIVEN_HOURS = 24
"""Limits are by the day (S3)."""
_EXPIRED_AT_A_TIME = 1000
"""What takes 10 ms to delete."""
_LOOK_EVERY = 1024
"""Rows after which a bound is looked at: counting 65,536 takes 2 ms."""


class CustodyTable(Database):
    """The tables `custody`, `receipts`, `slips`, and what triggers count of the first."""

    # --- messages -------------------------------------------------------------------------------
    def hold(self, held: Held, quota_bytes: int) -> Admission:
        prefix, size = held.prefix, max(held.size, len(held.data))
        known, used, hour, first, last = self._read(
            """SELECT EXISTS (SELECT 1 FROM custody WHERE prefix = ?1)
                OR EXISTS (SELECT 1 FROM receipts WHERE prefix = ?1),
            (SELECT sum(bytes) FROM custody_totals), (SELECT hour FROM given ORDER BY seq LIMIT 1),
            (SELECT min(seq) FROM given), (SELECT max(seq) FROM given)""",
            (prefix,),
        )[0]
        admission = Admission(taken=not known)
        if known:
            return admission
        self._space_unchecked += size
        self._take_room(0, "mail")  # others' mail has a quota of its own, but the disk is the same
        if used + size > quota_bytes:
            self._make_room(held, quota_bytes, admission)
        if first is not None:
            self._forget_given(held.received_ms // _HOUR_MS - _GIVEN_HOURS, hour, first, last)
        self._write(
            f"INSERT INTO custody (prefix, {_HELD}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                prefix,
                held.id,
                held.destination,
                held.data,
                held.mark,
                held.giver,
                held.rank,
                held.promised,
                held.received_ms,
                held.expires_ms,
                held.kind,
                size,
            ),
        )
        return admission

    def _make_room(self, held: Held, quota_bytes: int, admission: Admission) -> None:
        size = held.size
        while self.custody_usage()[1] + size > quota_bytes and self.expire_custody(held.received_ms)[0]:
            pass
        # What is merely carried breaks no promise: somebody else has it too.
        grades = [*range(held.rank + 1), *range(4, 4 + held.rank * held.promised)]
        used: dict[int, int] = dict(self._read("SELECT grade, bytes FROM custody_totals"))
        total = sum(used.values())
        missing = total + size - quota_bytes
        if missing > sum(used[grade] for grade in grades):
            raise StoreFull(
                f"no room to keep a message of {size} bytes for others: {total} of {quota_bytes} bytes are "
                "in use, and too few of these may go for this one; raise relay.quota_mb in config.toml"
            )
        for grade in grades:
            while missing > 0 and (oldest := self._oldest(grade)):
                seq, prefix, freed = oldest[0]
                self._write("DELETE FROM custody WHERE seq = ?", (seq,))
                missing -= freed
                admission.evicted.append(prefix)
                admission.broken += grade >= 4

    def _oldest(self, grade: int) -> list[Row]:
        return self._read(
            "SELECT seq, prefix, size FROM custody WHERE promised = ? AND rank = ? ORDER BY seq LIMIT 1",
            divmod(grade, 4),
        )

    def held(self, prefix: bytes) -> Held | None:
        rows = self._read(f"SELECT {_HELD}, seq FROM custody WHERE prefix = ?", (prefix,))
        return _held(rows[0]) if rows else None

    def held_for(self, destination: Address, *, since_seq: int = 0, limit: int) -> list[Held]:
        rows = self._read(
            f"SELECT {_HELD}, seq FROM custody WHERE destination = ? AND seq > ? ORDER BY seq LIMIT ?",
            (destination, since_seq, limit),
        )
        return [_held(row) for row in rows]

    def waiting(self, destination: Address | None = None) -> dict[Address, tuple[int, int]]:
        which, values = ("", ()) if destination is None else ("WHERE destination = ?", (destination,))
        rows = self._read(
            f"SELECT destination, count(*), sum(size) FROM custody {which} GROUP BY destination", values
        )
        return {address: (count, size) for address, count, size in rows}

    def prefixes(self) -> list[tuple[bytes, int]]:
        rows = self._read("SELECT prefix, received_ms / 1000 FROM custody WHERE kind = 2")
        return sorted(rows, key=itemgetter(1))  # twice as fast as ORDER BY

    def release(self, prefix: bytes) -> bool:
        return self._write("DELETE FROM custody WHERE prefix = ?", (prefix,)).rowcount == 1

    def promise(self, prefix: bytes) -> bool:
        return self._write("UPDATE custody SET promised = 1 WHERE prefix = ?", (prefix,)).rowcount == 1

    # --- receipts of delivered messages ---------------------------------------------------------
    def add_receipt(self, prefix: bytes, receipt: bytes, expires_ms: int) -> bool:
        cursor = self._write(
            "INSERT OR IGNORE INTO receipts (prefix, receipt, expires_ms) VALUES (?, ?, ?)",
            (prefix, receipt, expires_ms),
        )
        if cursor.rowcount == 0:
            return False
        self._bound("receipts", cursor.lastrowid or 0, limits.CUSTODY_RECEIPTS)
        self.release(prefix)
        return True

    def receipt(self, prefix: bytes) -> bytes | None:
        rows = self._read("SELECT receipt FROM receipts WHERE prefix = ?", (prefix,))
        return rows[0][0] if rows else None

    def receipts(self, limit: int) -> list[Receipt]:
        rows = self._read(
            "SELECT prefix, receipt, expires_ms FROM receipts ORDER BY seq DESC LIMIT ?", (limit,)
        )
        return [Receipt(*row) for row in rows]

    # --- receipts for absent senders ------------------------------------------------------------
    def put_slip(self, slip: Slip) -> bool:
        cursor = self._write(
            """INSERT OR IGNORE INTO slips (destination, prefix, receipt, expires_ms, tries)
            VALUES (?, ?, ?, ?, ?)""",
            (slip.destination, slip.prefix, slip.receipt, slip.expires_ms, slip.tries),
        )
        if cursor.rowcount == 0:
            return False
        self._bound("slips", cursor.lastrowid or 0, limits.CUSTODY_SLIPS)
        return True

    def slips_for(self, destination: Address, limit: int) -> list[Slip]:
        rows = self._read(
            """SELECT destination, prefix, receipt, expires_ms, tries FROM slips
            WHERE destination = ? ORDER BY seq LIMIT ?""",
            (destination, limit),
        )
        return [Slip(*row) for row in rows]

    def tried_slip(self, destination: Address, receipt: bytes) -> bool:
        cursor = self._write(
            "UPDATE slips SET tries = tries + 1 WHERE destination = ? AND receipt = ?", (destination, receipt)
        )
        return cursor.rowcount == 1

    def drop_slip(self, destination: Address, receipt: bytes) -> bool:
        cursor = self._write(
            "DELETE FROM slips WHERE destination = ? AND receipt = ?", (destination, receipt)
        )
        return cursor.rowcount == 1

    # --- figures and bounds ---------------------------------------------------------------------
    def given_since(self, giver: NodeId, since_ms: int) -> tuple[int, int]:
        rows = self._read(
            "SELECT ifnull(sum(messages), 0), ifnull(sum(bytes), 0) FROM given WHERE giver = ? AND hour >= ?",
            (giver, since_ms // _HOUR_MS),
        )
        return rows[0]

    def _forget_given(self, since_hour: int, hour: int, first: int, last: int) -> None:
        """Drop counts of hours long gone, and a sixteenth of all when there are too many."""
        if hour < since_hour or last - first >= limits.CUSTODY_GIVEN:
            self._write(
                "DELETE FROM given WHERE hour < ? OR seq < ?",
                (since_hour, last - limits.CUSTODY_GIVEN // 16 * 15),
            )

    def custody_usage(self) -> tuple[int, int]:
        return self._read("SELECT sum(messages), sum(bytes) FROM custody_totals")[0]

    def expired_files(self, now_ms: int) -> list[bytes]:
        sql = "SELECT prefix FROM custody WHERE expires_ms <= ? AND kind != 2 ORDER BY expires_ms LIMIT ?"
        return [prefix for (prefix,) in self._read(sql, (now_ms, _EXPIRED_AT_A_TIME))]

    def expire_custody(self, now_ms: int) -> tuple[int, int, int]:
        first = self.next_custody_expiry_ms()
        if first is None or first > now_ms:
            return 0, 0, 0
        messages, receipts, slips = (
            self._write(
                f"""DELETE FROM {table} WHERE seq IN (
                SELECT seq FROM {table} WHERE expires_ms <= ? ORDER BY expires_ms LIMIT ?)""",
                (now_ms, _EXPIRED_AT_A_TIME),
            ).rowcount
            for table in ("custody", "receipts", "slips")
        )
        return messages, receipts, slips

    def redate_custody(
        self, step_ms: int, now_ms: int, ttl_ms: int, *, since_seq: int | None, never_ms: int
    ) -> None:
        until_ms = now_ms + ttl_ms
        if step_ms < 0:  # what was given in days to come would count until they are over
            self._write("DELETE FROM given WHERE hour > ?", (now_ms // _HOUR_MS,))
        if since_seq is not None:
            self._write(
                "UPDATE custody SET expires_ms = min(expires_ms + ?, ?) WHERE seq > ? AND expires_ms < ?",
                (max(0, step_ms), until_ms, since_seq, never_ms),
            )
        for table in ("custody", "receipts", "slips"):
            if self._read(f"SELECT 1 FROM {table} WHERE expires_ms >= ? LIMIT 1", (never_ms,)):
                self._write(f"UPDATE {table} SET expires_ms = ? WHERE expires_ms >= ?", (until_ms, never_ms))

    def next_custody_expiry_ms(self) -> int | None:
        first: int | None = self._read(
            """SELECT min(first) FROM (SELECT min(expires_ms) AS first FROM custody
            UNION ALL SELECT min(expires_ms) FROM receipts UNION ALL SELECT min(expires_ms) FROM slips)"""
        )[0][0]
        return first

    def _bound(self, table: str, seq: int, most: int) -> None:
        """Let all but the latest `most` rows go, looked at after some insertions; `seq` is the newest."""
        if seq % _LOOK_EVERY == 0:
            self._write(
                f"""DELETE FROM {table} WHERE seq <= (
                SELECT seq FROM {table} ORDER BY seq DESC LIMIT 1 OFFSET ?)""",
                (most,),
            )


def _held(row: Row) -> Held:
    held = Held(*row)
    held.promised = bool(held.promised)
    return held
