"""The part of the store port for groups: their operations, keys and messages (N11, N12).

Ids are those of docs/protocol/group.md. What is called `body` is sealed under the vault key.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

from nexus_node.base.ids import MessageId, NodeId
from nexus_node.base.states import State
from nexus_node.wire.group import GroupId, OperationId


class Standing(IntEnum):
    """How this node stands to a group."""

    INVITED = 0
    """By somebody who is no contact; its owner has not accepted."""
    MEMBER = 1
    LEFT = 2
    """It has left, or was removed: history stays."""


@dataclass(frozen=True, slots=True)
class StoredGroup:
    """A group that is known here. `name` is what it is called here, and nothing else is."""

    id: GroupId
    name: str
    standing: Standing
    inviter: NodeId
    created_ms: int


@dataclass(frozen=True, slots=True)
class StoredEpoch:
    """Keys of an epoch; `id` is of the operation that began it."""

    id: OperationId
    hint: bytes
    body: bytes = field(repr=False)
    since_ms: int = 0


@dataclass(frozen=True, slots=True)
class HeldMessage:
    """A message of a group whose key is not here yet, or that is kept for members that were away."""

    id: MessageId
    data: bytes = field(repr=False)
    received_ms: int


@dataclass(slots=True)
class SentMessage:
    """A message that this node has sent to a group: as sealed for all, and its text as `body`."""

    id: MessageId
    group: GroupId
    epoch: OperationId
    created_ms: int
    message: bytes = field(repr=False)
    body: bytes = field(repr=False)
    seq: int = 0
    """Rises with each insertion; given by the store."""


@dataclass(frozen=True, slots=True)
class Letter:
    """What an outbox row is for, when it is no text: group items, for the member at that place of an epoch.

    `about` is the group message that it carries, or the epoch whose key, empty for anything else.
    """

    id: MessageId
    group: GroupId
    about: bytes = b""
    place: int = 0


class GroupStore(Protocol):
    """Part of `Store`: same transaction, same rules."""

    def put_group(self, group: StoredGroup) -> None:
        """Insert or replace by id. Raises `InputError` when another group has the name."""
        ...

    def group(self, group_id: GroupId) -> StoredGroup | None: ...
    def groups(self) -> list[StoredGroup]:
        """All, by name."""
        ...

    def drop_group(self, group_id: GroupId) -> None:
        """Forget it with all that belongs to it, but messages."""
        ...

    # --- operations and keys --------------------------------------------------------------------
    def add_operation(self, group_id: GroupId, operation_id: OperationId, data: bytes) -> bool:
        """False, changing nothing, if it is there. Raises `StoreFull`."""
        ...

    def operations(self, group_id: GroupId) -> list[bytes]:
        """In the order they came."""
        ...

    def drop_operation(self, group_id: GroupId, operation_id: OperationId) -> None: ...
    def put_epoch(self, group_id: GroupId, epoch: StoredEpoch) -> None:
        """Insert or replace by id; `since_ms` stays as it was first."""
        ...

    def epochs(self, group_id: GroupId) -> list[StoredEpoch]:
        """In the order they came."""
        ...

    def drop_epoch(self, group_id: GroupId, epoch: OperationId) -> None:
        """Forget an epoch and its chains."""
        ...

    def put_chain(self, group_id: GroupId, epoch: OperationId, place: int, body: bytes) -> None:
        """Insert or replace what is kept of one sender's chain. The epoch must be there."""
        ...

    def chains(self, group_id: GroupId, epoch: OperationId) -> list[tuple[int, bytes]]:
        """(place, body), by place."""
        ...

    # --- messages -------------------------------------------------------------------------------
    def hold_group_message(self, group_id: GroupId, message: HeldMessage, *, most: int) -> list[MessageId]:
        """Keep a message until its key comes; of more than `most` in a group the oldest go. Which went.

        Raises `StoreFull`. One that is there already is not kept twice.
        """
        ...

    def held_group_messages(self, group_id: GroupId) -> list[HeldMessage]:
        """In the order they came."""
        ...

    def drop_group_message(self, message_id: MessageId) -> None: ...
    def keep_group_message(self, group_id: GroupId, message: HeldMessage, *, most: int) -> None:
        """Keep a message that was read, or sent, as it was sealed; of more than `most` bytes in a group the
        oldest go. Raises `StoreFull`. One that is there already is not kept twice."""
        ...

    def kept_group_messages(self, group_id: GroupId) -> list[HeldMessage]:
        """In the order they came."""
        ...

    def drop_kept_group_messages(self, group_id: GroupId, before_ms: int) -> None:
        """Forget those that came before that time."""
        ...

    def mark_group(self, message_id: MessageId, group_id: GroupId) -> None:
        """That inbox row is a message of that group."""
        ...

    def group_of(self, message_id: MessageId) -> GroupId | None:
        """Which group an inbox row belongs to."""
        ...

    def add_sent(self, message: SentMessage) -> int:
        """Insert; returns its `seq`. Raises `StoreFull`."""
        ...

    def sent(self, message_id: MessageId) -> SentMessage | None: ...
    def all_sent(self, *, since_seq: int = 0, limit: int | None = None) -> Iterator[SentMessage]:
        """Rows with `seq > since_seq`, in order."""
        ...

    def expect_delivery(self, group_id: GroupId, about: bytes, places: list[int], at_ms: int) -> None:
        """A message, or the key of an epoch, is `queued` for the members at those places."""
        ...

    def set_delivery(self, about: bytes, place: int, state: State, at_ms: int) -> bool:
        """How far it has come to one member; False, changing nothing, unless the state rises."""
        ...

    def deliveries(self, about: bytes) -> list[tuple[int, State, int]]:
        """(place, state, when), by place."""
        ...

    # --- letters --------------------------------------------------------------------------------
    def add_letter(self, letter: Letter) -> None: ...
    def letter(self, message_id: MessageId) -> Letter | None:
        """What that outbox row is for, None for a text."""
        ...

    def drop_letter(self, message_id: MessageId) -> None:
        """Forget an outbox row that is final, and what it was for."""
        ...

    def letters(self) -> list[Letter]:
        """All, oldest first."""
        ...
