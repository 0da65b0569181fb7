"""The store port: everything the node must still know after a power cut.

Writes join one open transaction and become durable together at `commit()` (group commit). The node
lets nothing leave before the commit that covers it, so a caller never sees a write that can be lost.
Times are integer milliseconds since 1970, sizes bytes.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from nexus_node.base.ids import Address, MessageId, NodeId, ObjectId
from nexus_node.base.states import State


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


@dataclass(frozen=True, slots=True)
class Fact:
    """One step of a message, with its evidence: `by` names the carrier, relay or recipient, or the reason."""

    state: State
    at_ms: int
    by: str = ""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """An outbox row.

    `object` is the sealed envelope now being sent (it differs from `id` only after the recipient
    asked for another sealing). `delivered_mark` and `read_mark` are hashes of the receipts that
    would prove those states. `body` is our own copy, sealed under the vault key.
    """

    id: MessageId
    to: NodeId
    object: ObjectId
    created_ms: int
    expires_ms: int
    size: int
    body: bytes = field(repr=False)
    delivered_mark: bytes = field(repr=False)
    read_mark: bytes = field(repr=False)
    min_bandwidth: int = 0
    state: State = State.QUEUED
    seq: int = 0
    """Rises with each insertion; given by the store."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """An inbox row. `body` is sealed under the vault key; `delivered` and `read` are our receipts."""

    id: MessageId
    sender: NodeId
    sent_ms: int
    received_ms: int
    body: bytes = field(repr=False)
    delivered: bytes = field(repr=False)
    read: bytes = field(repr=False)
    read_ms: int | None = None
    seq: int = 0
    """Rises with each insertion; given by the store."""


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


class Store(Protocol):
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
    def put_object(self, header: StoredObject, chunks: Sequence[bytes]) -> bool:
        """Store a whole object; False if it was there already. Raises `StoreFull` with words.

        Equal chunks of different objects are stored once.
        """
        ...

    def get_object(self, object_id: ObjectId) -> StoredObject | None: ...

    def read_object(self, object_id: ObjectId) -> Iterator[bytes]:
        """Yield the chunks in order. Raises KeyError when it is not here."""
        ...

    def delete_object(self, object_id: ObjectId) -> bool: ...
    def objects(self) -> Iterator[StoredObject]:
        """Every object, oldest first."""
        ...

    # --- outbox ---------------------------------------------------------------------------------
    def add_outgoing(self, message: Outgoing) -> int:
        """Insert, with the fact `queued`; returns its `seq`."""
        ...

    def outgoing(self, message_id: MessageId) -> Outgoing | None: ...
    def outbox(self, *, since_seq: int = 0, limit: int | None = None) -> Iterator[Outgoing]:
        """Rows with `seq > since_seq`, in order."""
        ...

    def pending(
        self, to: NodeId, *, since_seq: int = 0, limit: int, bps: float = float("inf")
    ) -> list[Outgoing]:
        """The first `limit` rows to that node that are not final, with `seq > since_seq`, in order.

        Only those whose `min_bandwidth` a link of `bps` meets.
        """
        ...

    def to_hold(self, to: NodeId, *, bps: float) -> list[Outgoing]:
        """The queued rows to that node that need a link wider than `bps`."""
        ...

    def redate(self, step_ms: int, ttl_ms: int, *, since_seq: int) -> None:
        """The clock was set forward by `step_ms`: rows with `seq > since_seq` that are not final were
        written by the wrong one. They get the right `created_ms`, and expire `ttl_ms` after it."""
        ...

    def find_by_mark(self, mark: bytes) -> tuple[Outgoing, State] | None:
        """The row one of whose marks this is, and the state it proves (`delivered` or `read`)."""
        ...

    def reseal(self, message: Outgoing) -> None:
        """Replace `object`, `size` and both marks of the row with that id."""
        ...

    def add_fact(self, message_id: MessageId, fact: Fact) -> bool:
        """Record a fact; True if it moved the message's state forward.

        The row's state only rises in rank; a fact with the same state and `by` is recorded once.
        A final state other than the receipts' lets the envelope object go as well; so do the receipts.
        """
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
    def inbox(
        self, *, since_seq: int = 0, sender: NodeId | None = None, limit: int | None = None
    ) -> Iterator[Incoming]:
        """Rows with `seq > since_seq`, in order."""
        ...

    def mark_read(self, message_id: MessageId, at_ms: int) -> bool:
        """True the first time."""
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

    # --- figures --------------------------------------------------------------------------------
    def usage(self) -> tuple[int, int, int]:
        """(objects, bytes counted against the quota, quota in bytes). Cheap: counters, no scan."""
        ...

    def count_states(self) -> dict[State, int]:
        """How many outbox rows are in each state. Cheap: used by `status`."""
        ...
