"""People in a group, without nodes: who holds which operations and keys, and what each can read."""

from nexus_node.base.errors import BadWire
from nexus_node.base.ids import NodeId
from nexus_node.crypto.address import address_of
from nexus_node.crypto.groupkey import (
    EpochKeys,
    commitment_of,
    hint_of,
    open_group_message,
    seal_group_message,
)
from nexus_node.crypto.identity import Identity
from nexus_node.proto.group import GroupLog, create_group
from nexus_node.wire.group import Kind, Operation, OperationId, parse_operation_untrusted

from .world import SeededRng

TIME = 1_767_225_600


def people(count: int) -> list[Identity]:
    return [Identity.from_seed(bytes([seed]) * 32) for seed in range(1, count + 1)]


class Person:
    """One member's view. Keys and operations come by `take_*`; nothing else is known."""

    def __init__(self, identity: Identity, seed: int = 0) -> None:
        self.identity = identity
        self.rng = SeededRng(seed * 1000 + identity.node_id[0])
        self.log: GroupLog | None = None
        self.keys: dict[OperationId, EpochKeys] = {}
        self.letters: list[tuple[NodeId, OperationId, bytes]] = []
        """Keys for others on their way: to whom, of which epoch."""

    @property
    def node_id(self) -> NodeId:
        return self.identity.node_id

    def create(self, name: str = "friends", *, signed: bool = False) -> None:
        secret = self.rng.random_bytes(32)
        self.log = create_group(
            self.identity,
            name.encode(),
            salt=self.rng.random_bytes(16),
            commitment=commitment_of(secret),
            time=TIME,
            signed=signed,
        )
        self.keys[OperationId(self.log.group)] = EpochKeys.of(secret)

    def do(self, kind: Kind, who: Identity | None = None, *, time: int = TIME, **fields) -> Operation:
        """Make an operation, add it here, and write letters with the key if it has one."""
        if who is not None and kind in (Kind.ADD, Kind.PROMOTE):
            fields["added"] = (who.node_id,)
        elif who is not None:
            fields["removed"] = (who.address,)
        secret = self.rng.random_bytes(32)
        if kind.begins_epoch:
            fields["commitment"] = commitment_of(secret)
        operation = self.log.make(self.identity, kind, time=time, **fields)
        self.log.add(operation)
        if kind.begins_epoch:
            self.share(operation, secret)
        return operation

    def share(self, operation: Operation, secret: bytes) -> None:
        epoch = operation.id_in(self.log.group)
        self.keys[epoch] = EpochKeys.of(secret)
        for member in self.log.members_of(epoch):
            if member != self.node_id:
                self.letters.append((member, epoch, secret))

    def take(self, data: bytes) -> None:
        """An operation from somebody."""
        operation = parse_operation_untrusted(data)
        if self.log is None:
            if operation.kind == Kind.CREATE:
                self.log = GroupLog(operation)
        else:
            self.log.add(operation)

    def take_key(self, epoch: OperationId, secret: bytes) -> bool:
        """A key from somebody: believed if the operation, once it is here, names it."""
        operation = self.log.get(epoch) if self.log is not None else None
        if operation is None or operation.commitment != commitment_of(secret):
            return False
        self.keys.setdefault(epoch, EpochKeys.of(secret))
        return True

    def answer(self, asker: NodeId, epoch: OperationId) -> bytes | None:
        """The key of an epoch for somebody who says that it was one of its members, if that is so."""
        members = self.log.members_of(epoch) if self.log is not None else None
        keys = self.keys.get(epoch)
        return keys.secret if members and asker in members and keys is not None else None

    def seal(self, text: bytes) -> tuple[OperationId, bytes] | None:
        """A message in the current epoch, if it may be sent and the key is here."""
        state = self.log.state
        keys = self.keys.get(state.epoch)
        if state.closed or keys is None:
            return None
        members = self.log.members_of(state.epoch)
        message, place, chain = seal_group_message(
            keys,
            members,
            self.identity,
            text,
            context=self.log.group + state.epoch,
            seconds=TIME,
            signed=state.signed_messages,
        )
        keys.chains[place] = chain
        return state.epoch, message

    def read(self, message: bytes) -> tuple[NodeId, bytes] | None:
        """Try all keys: who wrote the message, and what it says. Leaves the chains as they were."""
        for epoch, keys in self.keys.items():
            members = self.log.members_of(epoch)
            if keys.hint != hint_of(message) or members is None:
                continue
            try:
                opened = open_group_message(
                    EpochKeys.of(keys.secret),
                    members,
                    message,
                    context=self.log.group + epoch,
                    signed=self.log.state.signed_messages,
                )
            except BadWire:
                continue
            return opened.sender, opened.payload
        return None


def sync(*persons: Person) -> None:
    """Bring everybody's operations to everybody."""
    for one in persons:
        for operation in list(one.log.since(())) if one.log is not None else ():
            for other in persons:
                if other is not one:
                    other.take(operation.encode())


def deliver(*persons: Person) -> None:
    """Hand over all letters."""
    named = {one.node_id: one for one in persons}
    for one in persons:
        for to, epoch, secret in one.letters:
            if to in named:
                named[to].take_key(epoch, secret)
        one.letters = [letter for letter in one.letters if letter[0] not in named]


def names(log: GroupLog, who: dict[str, Identity]) -> set[str]:
    """The members, by the names of a test."""
    known = {identity.node_id: name for name, identity in who.items()}
    return {known[member] for member in log.state.members}


def rank_of(person: Person) -> bytes:
    return address_of(person.node_id)
