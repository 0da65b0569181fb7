"""The store port: everything the node must still know after a power cut.

Writes join one open transaction and become durable together at `commit()` (group commit). The node
lets nothing leave before the commit that covers it, so a caller never sees a write that can be lost.
Times are integer milliseconds since 1970, sizes bytes.
"""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

from nexus_node.base.ids import Address, MessageId, NodeId, ObjectId
from nexus_node.base.states import State
from nexus_node.ports.custody import CustodyStore
from nexus_node.ports.groups import GroupStore
from nexus_node.ports.mutable import MutableStore
from nexus_node.ports.pub import PubStore


class Keep(IntEnum):
    """Why an object is here (N7)."""

    CACHED = 0
    """Passed through: goes when room is needed, the one not read for longest first."""
    FOR_OTHERS = 1
    """Kept for somebody absent, in room of its own that `CustodyStore.hold` gives out: goes with the mail."""
    OWNED = 2
    """Put here, or part of one's own mail: goes only when its time is over or it is deleted."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An immutable object's header and how much of it is here (docs/protocol/object.md)."""

    id: ObjectId
    kind: int
    size: int
    root: bytes
    created_ms: int
    expires_ms: int | None = None
    min_bandwidth: int = 0
    chunks_total: int = 1
    chunks_have: int = 1
    keep: Keep = Keep.OWNED

    @property
    def complete(self) -> bool:
        return self.chunks_have == self.chunks_total


@dataclass(slots=True)
class Fact:
    """One step of a message, with its evidence: `by` names the carrier, relay or recipient, or the reason.

    `by` is one line.
    """

    state: State
    at_ms: int
    by: str = ""


@dataclass(slots=True)
class Outgoing:
    """An outbox row. It changes only to follow what is stored (`seq`, `Store.add_facts`).

    `object` is the id of the message object now being sent (it differs from `id` only after the
    recipient asked for another sealing) and `size` its bytes. `envelope` is its content without the
    destination, empty once the state is final. `delivered_mark` and `read_mark` are hashes of the
    receipts that would prove those states. `body` is our own copy, sealed under the vault key.
    """

    id: MessageId
    to: NodeId
    object: ObjectId
    created_ms: int
    expires_ms: int
    size: int
    envelope: bytes = field(repr=False)
    body: bytes = field(repr=False)
    delivered_mark: bytes = field(repr=False)
    read_mark: bytes = field(repr=False)
    min_bandwidth: int = 0
    part_of: MessageId | None = None
    """Of a message with attached files: its id, in the rows of the text and of each file. A file's `object`
    stands with the other objects, and its `envelope` is what is sent of it first, its `Offer`."""
    state: State = State.QUEUED
    seq: int = 0
    """Rises with each insertion; given by the store."""

    @property
    def is_file(self) -> bool:
        """Whether this is the row of an attached file."""
        return self.part_of is not None and self.part_of != self.id


@dataclass(slots=True)
class Incoming:
    """An inbox row. `body` and `files`, the descriptions of what is attached, are sealed under the vault key;
    `delivered` and `read` are our receipts."""

    id: MessageId
    sender: NodeId
    sent_ms: int
    received_ms: int
    body: bytes = field(repr=False)
    delivered: bytes = field(repr=False)
    read: bytes = field(repr=False)
    read_ms: int | None = None
    first: MessageId | None = None
    """The id under which its sender sealed it before, if it did."""
    files: bytes = field(default=b"", repr=False)
    seq: int = 0
    """Rises with each insertion; given by the store."""

    @property
    def shown_id(self) -> MessageId:
        """The id that its sender shows as well."""
        return self.first or self.id


@dataclass(frozen=True, slots=True)
class Expected:
    """A file that a message to us has described, and our receipt for the day when all of it is here."""

    object: ObjectId
    message: MessageId
    sender: NodeId
    min_bandwidth: int
    receipt: bytes = field(repr=False)
    arrived_ms: int | None = None
    ended: str = ""
    """How, if it will not come: "declined" here, the receipt then says so, or "withdrawn" by its sender."""


@dataclass(frozen=True, slots=True)
class Correspondent:
    """A node whose key we know: a contact when it has a name, else a stranger we have met.

    `knows_us` is true once it has shown that it knows our key, which makes envelopes to it shorter.
    """

    node_id: NodeId
    address: Address
    name: str | None = None
    trust: str = "untrusted"
    knows_us: bool = False
    seen_ms: int = 0
    relays: tuple[NodeId, ...] = ()
    """Who keeps its mail while it is away, as its contact link says."""


class Store(CustodyStore, GroupStore, PubStore, MutableStore, Protocol):
    """One node's durable memory. Not thread-safe: used from one task at a time, inline."""

    # --- transactions ---------------------------------------------------------------------------
    @property
    def dirty(self) -> bool:
        """Whether there are writes that no commit has covered yet."""
        ...

    def commit(self) -> None:
        """Make every write so far durable (fsync) before returning.

        Raises `StoreFull` or `StoreCorrupt` when the disk will not; then none of the writes since
        the last commit is kept and the store is as it was then.
        """
        ...

    def atomic(self) -> AbstractContextManager[None]:
        """Writes inside happen all or not at all: an exception undoes them and passes through. Nests."""
        ...

    def close(self) -> None:
        """Commit and let go of the files."""
        ...

    # --- small facts ----------------------------------------------------------------------------
    def get_meta(self, key: str) -> bytes | None: ...
    def set_meta(self, key: str, value: bytes) -> None: ...

    # --- objects --------------------------------------------------------------------------------
    # An object is here whole or in part: its header, pages of its hash tree (crypto/merkle.py), chunks.
    # What is asked about an object that is not here raises KeyError, unless said otherwise.
    def put_object(self, header: StoredObject, chunks: Iterable[bytes]) -> bool:
        """Store a whole object; False if all of it was there already. Raises `StoreFull` with words.

        Equal chunks of different objects are stored once. An object that was there is kept as `header.keep`
        says if that is more, and as long as `header.expires_ms` says if that is later.
        Whatever needs room makes cached objects go.
        """
        ...

    def object_called(self, prefix: bytes) -> ObjectId | None:
        """The object whose id begins with these bytes."""
        ...

    def begin_object(self, header: StoredObject) -> bool:
        """Store the header of an object whose pages and chunks are to come; False if it is there, whole or
        in part. An empty object is complete at once."""
        ...

    def add_page(self, object_id: ObjectId, level: int, number: int, hashes: bytes) -> None:
        """Store a page of the hash tree, which the caller has verified; again changes nothing.

        Chunks named by a page of level 1 that the store has, of whatever object, are here from now on.
        """
        ...

    def page(self, object_id: ObjectId, level: int, number: int) -> bytes | None: ...
    def pages(self, object_id: ObjectId) -> Iterator[tuple[int, int, bytes]]:
        """(level, number, hashes) of the pages that are here, the highest level first."""
        ...

    def add_chunk(self, object_id: ObjectId, number: int, chunk: bytes) -> bool:
        """Store a chunk that the caller has verified against its leaf; again changes nothing.

        True when the object is complete by it. Raises `StoreFull` with words, LocalError when its page is
        not here or the chunk is not of the length that the object has there.
        """
        ...

    def write_chunks(self) -> None:
        """Hand the chunks added so far to the system, without waiting for the disk: if the process is killed
        they are here all the same, and only a power cut before the next commit takes them."""
        ...

    def missing(self, object_id: ObjectId, *, since: int = 0, limit: int) -> list[int]:
        """Numbers from `since` on, in order, of the first `limit` chunks not here whose leaf is."""
        ...

    def have_chunks(self, object_id: ObjectId) -> int:
        """How many of its chunks are here; 0 when the object is not."""
        ...

    def read_chunk(self, object_id: ObjectId, number: int) -> bytes:
        """Return a chunk, checked against its leaf; raises KeyError when it is not here.

        A damaged one is dropped: it is not here, and the object is there in part, to be fetched anew.
        """
        ...

    def get_object(self, object_id: ObjectId) -> StoredObject | None: ...

    def read_object(self, object_id: ObjectId) -> Iterator[bytes]:
        """Yield the chunks in order. Raises KeyError when it is not here whole.

        Raises `StoreCorrupt` with words at a chunk that is damaged, which is dropped as by `read_chunk`.
        """
        ...

    def delete_object(self, object_id: ObjectId) -> bool: ...
    def cache_object(self, object_id: ObjectId) -> None:
        """An owned object may go from now on when room is needed: its content is elsewhere too."""
        ...

    def expire_objects(self, now_ms: int) -> int:
        """Delete the objects whose time is over; returns how many."""
        ...

    def next_object_expiry_ms(self) -> int | None: ...
    def objects(self) -> Iterator[StoredObject]:
        """Every object, whole or in part, oldest first."""
        ...

    # --- outbox ---------------------------------------------------------------------------------
    def add_outgoing(self, message: Outgoing) -> int:
        """Insert, with the fact `queued`; returns its `seq`. Raises `StoreFull` with words.

        `size` and the body count against the quota, `size` until the state is final. Raises
        LocalError for the mark of a message that has not arrived; that ids are new else, which are random, is
        not looked at.
        """
        ...

    def outgoing(self, message_id: MessageId) -> Outgoing | None: ...
    def outbox(self, *, since_seq: int = 0, limit: int | None = None) -> Iterator[Outgoing]:
        """Rows with `seq > since_seq`, in order."""
        ...

    def pending(
        self,
        to: NodeId,
        *,
        since_seq: int = 0,
        limit: int,
        bps: float = float("inf"),
        not_by: str = "",
    ) -> list[Outgoing]:
        """The first `limit` rows to that node that are not final, with `seq > since_seq`, in order.

        Only those whose `min_bandwidth` a link of `bps` meets, and that are not `relayed` by `not_by`.
        """
        ...

    def parts(self, message_id: MessageId) -> list[Outgoing]:
        """The rows of a message with files: of its text, then of each file. Empty of one without."""
        ...

    def open_outgoing(self, prefix: bytes) -> Outgoing | None:
        """The row that is not final whose `object` begins with these 8 bytes. Looks at all such rows."""
        ...

    def recipients(self) -> list[NodeId]:
        """Whom rows are for that are not final."""
        ...

    def to_hold(self, to: NodeId, *, bps: float) -> list[Outgoing]:
        """The queued rows to that node that need a link wider than `bps`."""
        ...

    def redate(self, step_ms: int, ttl_ms: int, *, since_seq: int) -> None:
        """The clock was set forward by `step_ms`: rows with `seq > since_seq` that are not final were
        written by the wrong one. They get the right `created_ms`, and expire `ttl_ms` after it."""
        ...

    def find_by_mark(self, mark: bytes) -> tuple[Outgoing, State] | None:
        """The row one of whose marks this is, and the state it proves (`delivered` or `read`).

        None for the mark of `delivered` where that is known already."""
        ...

    def reseal(self, message: Outgoing) -> None:
        """Replace `object`, `size`, `envelope` and both marks of the row with that id, which is not
        final. Raises `StoreFull` with words."""
        ...

    def add_facts(self, message: Outgoing, *facts: Fact) -> list[Fact]:
        """Record facts; returns those that moved the message's state forward, in turn.

        The state only rises in rank; a fact with the same state and `by` is recorded once. A final
        state lets the envelope go. `message` is brought up to date.
        """
        ...

    def retire(self, message: Outgoing) -> None:
        """Nothing more is sent of that row, though its state is not final: no more will be known of it. It is
        no longer pending and never expires. `message` is brought up to date."""
        ...

    def facts(self, message_id: MessageId) -> list[Fact]:
        """In the order recorded."""
        ...

    def expired(self, now_ms: int) -> list[Outgoing]:
        """Rows that are not final and whose time is over."""
        ...

    def next_expiry_ms(self) -> int | None: ...

    # --- inbox ----------------------------------------------------------------------------------
    def add_incoming(self, message: Incoming) -> bool:
        """Insert; False, changing nothing, if that id is there already (exactly once to the reader)."""
        ...

    def incoming(self, message_id: MessageId) -> Incoming | None: ...
    def incoming_before(self, sender: NodeId, message_id: MessageId) -> bool:
        """Whether there is a row of that sender with that id, or that says that it had it before."""
        ...

    def incoming_called(self, prefix: bytes) -> tuple[NodeId, bytes] | None:
        """(sender, our receipt) of the row whose id begins with these 8 bytes."""
        ...

    def expect(self, expected: Expected) -> bool:
        """A message has described that file; False, changing nothing, if the same one did before."""
        ...

    def expected(self, prefix: bytes) -> list[Expected]:
        """The file whose object's id is this or begins with it, once for each message that has described
        it, in the order they came: the first 64."""
        ...

    def arrived(self, object_id: ObjectId, at_ms: int) -> None:
        """All of that file is here, for those who have not ended it."""
        ...

    def end_expected(self, expected: Expected, how: str, receipt: bytes) -> None:
        """That file will not come: `how` it ended, and what is answered from now on."""
        ...

    def inbox(
        self, *, since_seq: int = 0, sender: NodeId | None = None, limit: int | None = None
    ) -> Iterator[Incoming]:
        """Rows with `seq > since_seq`, in order."""
        ...

    def receipt_of(self, message_id: MessageId) -> tuple[NodeId, bytes] | None:
        """Sender and `delivered` of an inbox row: cheap, asked of every message that comes."""
        ...

    def mark_read(self, message_id: MessageId, at_ms: int, *, tell: int = 0) -> bool:
        """True the first time; then its sender is to be told `tell` times."""
        ...

    def to_tell(self, sender: NodeId, *, limit: int) -> list[tuple[int, bytes]]:
        """`seq` and `read` of the first `limit` messages that sender is still to be told were read."""
        ...

    def told(self, seq: int) -> None:
        """The sender of that inbox row has been told once that it was read."""
        ...

    # --- correspondents -------------------------------------------------------------------------
    def put_correspondent(self, who: Correspondent) -> None:
        """Insert or replace by node id.

        The name must be free (`InputError` otherwise). Strangers beyond `limits.CORRESPONDENTS_MAX`
        make the one longest unseen go, contacts never.
        """
        ...

    def correspondent(self, node_id: NodeId) -> Correspondent | None: ...
    def contact(self, name: str) -> Correspondent | None: ...
    def correspondents(self) -> list[Correspondent]:
        """All, contacts first by name, then strangers, latest seen first."""
        ...

    def remember_neighbour(self, label: str, node_id: NodeId) -> None:
        """Note who was met behind a carrier's label, so that the next handshake is the shorter one."""
        ...

    def neighbour(self, label: str) -> NodeId | None: ...

    def has_room(self, size: int) -> bool:
        """Whether so many bytes more would find room, if what is cached goes for it."""
        ...

    # --- figures --------------------------------------------------------------------------------
    def usage(self) -> tuple[int, int, int]:
        """(objects, bytes counted against the quota, quota in bytes). Cheap: counters, no scan."""
        ...

    def count_states(self) -> dict[State, int]:
        """How many outbox rows are in each state. Cheap: used by `status`."""
        ...
