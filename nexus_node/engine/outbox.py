"""What this node says becomes rows of the outbox: composed, sealed and stored, its files too (N9, N13)."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace

from blake3 import blake3

from nexus_node.base.errors import BadWire, StoreCorrupt
from nexus_node.base.ids import MessageId, NodeId
from nexus_node.base.limits import MESSAGE_TTL_S
from nexus_node.base.rng import Rng
from nexus_node.crypto.address import address_of
from nexus_node.crypto.envelope import receipt_mark
from nexus_node.crypto.filestream import file_declined, file_receipt
from nexus_node.crypto.vault import Vault
from nexus_node.engine.attach import SealedFile
from nexus_node.engine.compose import Composed, Composer
from nexus_node.engine.contacts import Contacts
from nexus_node.engine.wallclock import NEVER_MS, WallClock
from nexus_node.ports.store import Correspondent, Outgoing, Store, StoredObject
from nexus_node.wire.description import Description, parse_descriptions_untrusted
from nexus_node.wire.transfer import Offer


class Outbox:
    """Makes the rows that `Delivery` moves along."""

    def __init__(
        self,
        store: Store,
        composer: Composer,
        vault: Vault,
        rng: Rng,
        contacts: Contacts,
        wall: WallClock,
        *,
        is_letter: Callable[[MessageId], bool],
        submit: Callable[[list[Outgoing], float], None],
        counters: Counter[str],
    ) -> None:
        """Args:
        is_letter: whether a message is a letter about a group and has no text.
        submit: told of the new rows of one message, to send them.
        """
        self._store = store
        self._composer = composer
        self._vault = vault
        self._rng = rng
        self._contacts = contacts
        self._wall = wall
        self._is_letter = is_letter
        self._submit = submit
        self._counters = counters
        self._before: int | None = None
        """The row before this run's first."""

    def queue_text(
        self,
        to: Correspondent,
        text: bytes,
        *,
        compress: bool,
        min_bandwidth: int,
        files: Sequence[SealedFile],
        now: float,
    ) -> Outgoing:
        """Queue a message; returns the row of its text, and with `files` there is one for each of these too.
        Raises StoreFull."""
        descriptions = [file.description for file in files]
        composed = self._composer.seal_text(
            to, text, self._sent_ms(now), compress=compress, files=descriptions
        )
        row = self._row(to.node_id, composed, text, now)
        row.min_bandwidth = min_bandwidth
        if files:
            row.part_of = row.id
        return self._queue(row, files, now)

    def queue_letter(self, to: NodeId, items: bytes, now: float, introduce: bool) -> MessageId:
        """Queue a letter about a group. Members know our key from its operations, unless we are to
        `introduce` ourselves. Raises StoreFull."""
        who = self._store.correspondent(to) or Correspondent(to, address_of(to))
        if not introduce:
            who = replace(who, knows_us=True)
        composed = self._composer.seal_group(who, items, self._sent_ms(now))
        return self._queue(self._row(to, composed, items, now), (), now).id

    def redate(self, step_s: float) -> None:
        """The wall clock was set by so much: what this run has queued keeps its age and its time to live."""
        if self._before is not None:
            self._store.redate(int(step_s * 1000), MESSAGE_TTL_S * 1000, since_seq=self._before)

    def reseal(self, row: Outgoing, now: float) -> Outgoing | None:
        """The recipient does not know our key, or the envelope is gone: seal the same text again, with an
        introduction. None when our own copy is damaged too. Raises StoreFull."""
        try:
            text = self._vault.open(row.body, row.id)
        except StoreCorrupt:
            return None
        to = self._contacts.forgot_us(row.to)
        sent_ms = row.created_ms if row.expires_ms != NEVER_MS else 0
        parts = self._store.parts(row.part_of)[1:] if row.part_of is not None else []
        files = [found for part in parts if (found := self.description_of(part)) is not None]
        if self._is_letter(row.id):
            composed = self._composer.seal_group(to, text, sent_ms)
        else:
            composed = self._composer.seal_text(to, text, sent_ms, compress=True, again=row.id, files=files)
        fresh = replace(
            row,
            object=composed.header.id,
            size=composed.header.size,
            envelope=composed.data,
            delivered_mark=receipt_mark(composed.sealed.delivered),
            read_mark=receipt_mark(composed.sealed.read),
        )
        self._store.reseal(fresh)
        self._counters["resealed"] += 1
        return fresh

    def description_of(self, row: Outgoing) -> Description | None:
        """What a row's file is; None where the disk has damaged it."""
        try:
            body = self._vault.open(row.body, row.id)
            return parse_descriptions_untrusted(b"\x01" + body)[0][0]
        except (StoreCorrupt, BadWire):
            self._counters["damaged_texts"] += 1
            return None

    def _sent_ms(self, now: float) -> int:
        """What a message says of when it was sent: nothing while the clock is not set."""
        return self._wall.ms(now) if self._wall.trusted(now) else 0

    def _row(self, to: NodeId, composed: Composed, body: bytes, now: float) -> Outgoing:
        object_id, created_ms = composed.header.id, self._wall.ms(now)
        return Outgoing(
            id=MessageId(object_id),
            to=to,
            object=object_id,
            created_ms=created_ms,
            expires_ms=created_ms + MESSAGE_TTL_S * 1000 if self._wall.trusted(now) else NEVER_MS,
            size=composed.header.size,
            envelope=composed.data,
            body=self._vault.seal(body, self._rng, object_id),
            delivered_mark=receipt_mark(composed.sealed.delivered),
            read_mark=receipt_mark(composed.sealed.read),
        )

    def _queue(self, row: Outgoing, files: Sequence[SealedFile], now: float) -> Outgoing:
        rows = [row]
        with self._store.atomic() if files else nullcontext():
            row.seq = self._store.add_outgoing(row)
            rows += [self._attach(row, file) for file in files]
        if self._before is None:
            self._before = row.seq - 1
        self._submit(rows, now)
        return row

    def _attach(self, message: Outgoing, file: SealedFile) -> Outgoing:
        """Store a file of a message, and its row. Raises StoreFull."""
        object_id, description = file.header.id, file.description
        stored = StoredObject(
            object_id, file.header.kind, file.header.size, file.header.root, message.created_ms
        )
        self._store.put_object(stored, file.chunks)
        offer = Offer(file.header, description.min_bandwidth).encode()
        part_id = MessageId(blake3(message.id + object_id).digest())
        row = replace(
            message,
            id=part_id,
            object=object_id,
            size=len(offer),
            envelope=offer,
            body=self._vault.seal(description.encode(), self._rng, part_id),
            delivered_mark=receipt_mark(file_receipt(description.key, object_id)),
            # Nobody says of a file that it was read: this proves that it is not wanted.
            read_mark=receipt_mark(file_declined(description.key, object_id, message.id)),
            min_bandwidth=description.min_bandwidth,
        )
        row.seq = self._store.add_outgoing(row)
        return row
