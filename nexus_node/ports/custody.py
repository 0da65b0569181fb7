"""The custody port: what a relay keeps for absent recipients (N10, S2, docs/protocol/custody.md).

Part of the store, or a store of its own for a relay that keeps others' mail in memory only; its writes
become durable at `commit()` like all others. Messages are called by their prefix, the first 8 bytes of
their object's id, as on the wire. Times are integer milliseconds since 1970, sizes bytes.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from nexus_node.base.ids import Address, NodeId, ObjectId
from nexus_node.wire.dataobject import KIND_MESSAGE
from nexus_node.wire.routing import PREFIX_SIZE


@dataclass(slots=True)
class Held:
    """A message kept for somebody else."""

    id: ObjectId
    destination: Address
    data: bytes = field(repr=False)
    """Data of the MESSAGE packet."""
    mark: bytes = field(repr=False)
    """16 bytes: `receipt_mark` of the receipt that will prove delivery."""
    giver: NodeId
    """The neighbour that handed it over."""
    rank: int
    """How far the giver is trusted: 0 stranger, 1 contact, 2 trusted, 3 verified."""
    promised: bool
    """Whether we told anybody that we have custody; False for a copy merely carried."""
    received_ms: int
    expires_ms: int
    kind: int = KIND_MESSAGE
    """Of its object: of any other than a message `data` is the OFFER_OBJECT packet's, and the object itself
    stands with the others."""
    size: int = 0
    """Bytes that count: those of `data`, or of the object if these are more."""
    seq: int = 0
    """Rises with each insertion, never used twice; given by the store."""

    def __post_init__(self) -> None:
        self.size = max(self.size, len(self.data))

    @property
    def prefix(self) -> bytes:
        return self.id[:PREFIX_SIZE]


@dataclass(slots=True)
class Admission:
    """What came of `hold`."""

    taken: bool
    evicted: list[bytes] = field(default_factory=list)
    """Prefixes of the messages that went before their time to make room, in the order they went."""
    broken: int = 0
    """How many of these had been promised."""


@dataclass(slots=True)
class Receipt:
    """Proof that a message was delivered, kept so that its other copies go and it is not taken again."""

    prefix: bytes
    receipt: bytes = field(repr=False)
    """16 bytes."""
    expires_ms: int


@dataclass(slots=True)
class Slip:
    """A receipt on its way to the message's absent sender."""

    destination: Address
    """The message's sender."""
    prefix: bytes
    receipt: bytes = field(repr=False)
    """16 bytes."""
    expires_ms: int
    tries: int = 0


class CustodyStore(Protocol):
    """What a relay must still know after a power cut."""

    # --- transactions, as in `Store` ------------------------------------------------------------
    @property
    def dirty(self) -> bool: ...
    def commit(self) -> None:
        """Make every write so far durable; only then may custody be promised."""
        ...

    def atomic(self) -> AbstractContextManager[None]: ...
    def close(self) -> None: ...

    # --- messages -------------------------------------------------------------------------------
    def hold(self, held: Held, quota_bytes: int) -> Admission:
        """Keep a message; not taken when one of its prefix is here or a receipt of it is known.

        Beyond `quota_bytes` of all messages' data others go first (N7): the expired, as of
        `held.received_ms`; copies merely carried, of the same or a lower rank; and, for a message that is
        promised, promised ones of a lower rank. Each time the lowest rank first, and in it the oldest.
        Raises `StoreFull` with words when that does not make room; then only expired ones are gone.
        """
        ...

    def held(self, prefix: bytes) -> Held | None: ...
    def held_for(self, destination: Address, *, since_seq: int = 0, limit: int) -> list[Held]:
        """The first `limit` messages to that destination with `seq > since_seq`, in order."""
        ...

    def waiting(self, destination: Address | None = None) -> dict[Address, tuple[int, int]]:
        """(messages, bytes) for each destination that has any, or for that one. Reads an index only."""
        ...

    def prefixes(self) -> list[tuple[bytes, int]]:
        """(prefix, second it was received) of every message, by that second; not of other objects."""
        ...

    def release(self, prefix: bytes) -> bool:
        """Delete a message; False if it was not here."""
        ...

    def promise(self, prefix: bytes) -> bool:
        """From now on we have custody of a message that was merely carried; False if it is not here."""
        ...

    # --- receipts of delivered messages ---------------------------------------------------------
    def add_receipt(self, prefix: bytes, receipt: bytes, expires_ms: int) -> bool:
        """Keep a receipt that was verified and delete the message it is for; False if one was known.

        Beyond `limits.CUSTODY_RECEIPTS` the oldest go, some hundreds at a time.
        """
        ...

    def receipt(self, prefix: bytes) -> bytes | None: ...
    def receipts(self, limit: int) -> list[Receipt]:
        """The latest first."""
        ...

    # --- receipts for absent senders ------------------------------------------------------------
    def put_slip(self, slip: Slip) -> bool:
        """False if that receipt for that destination is here already.

        Beyond `limits.CUSTODY_SLIPS` the oldest go, some hundreds at a time.
        """
        ...

    def slips_for(self, destination: Address, limit: int) -> list[Slip]:
        """The oldest first."""
        ...

    def tried_slip(self, destination: Address, receipt: bytes) -> bool:
        """Count one more try; False if it is not here."""
        ...

    def drop_slip(self, destination: Address, receipt: bytes) -> bool:
        """False if it was not here."""
        ...

    # --- figures --------------------------------------------------------------------------------
    def given_since(self, giver: NodeId, since_ms: int) -> tuple[int, int]:
        """(messages, bytes) taken from that neighbour since then, also those that are gone by now.

        Counted by the hour: those of the whole hour in which `since_ms` lies are in. Nothing is known
        of more than a day ago, and of `limits.CUSTODY_GIVEN` hours of all neighbours the latest.
        """
        ...

    def custody_usage(self) -> tuple[int, int]:
        """(messages, bytes of their data). Cheap: totals, no scan."""
        ...

    def expired_files(self, now_ms: int) -> list[bytes]:
        """Prefixes of what is no message and whose time is over, at most 1,000: each has an object beside."""
        ...

    def expire_custody(self, now_ms: int) -> tuple[int, int, int]:
        """Delete (messages, receipts, slips) whose time is over, at most 1,000 of each.

        The longest over go first; `next_custody_expiry_ms` says whether any are left.
        """
        ...

    def redate_custody(
        self, step_ms: int, now_ms: int, ttl_ms: int, *, since_seq: int | None, never_ms: int
    ) -> None:
        """The wall clock was set by so much, to `now_ms`. Messages with `seq > since_seq`, none if that is
        None, keep their time to live, `ttl_ms` from now at most; what was taken without a clock, and so
        expires at `never_ms`, does at that time. Nothing was given in the future."""
        ...

    def next_custody_expiry_ms(self) -> int | None: ...
