"""The state of a group: a fold of its signed operations, the same in any order (N11, N12).

A set of operations in, a state out: what is missing, repeated or late changes nothing but the set. Rules and
reasons: docs/protocol/group.md. Without clock and store: `engine/groups.py` has those.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from nexus_node.base.errors import BadWire, LocalError
from nexus_node.base.ids import NodeId
from nexus_node.base.limits import GROUP_OPERATIONS_MAX, GROUP_UNATTACHED_MAX
from nexus_node.crypto.address import address_of
from nexus_node.crypto.identity import Identity
from nexus_node.proto.group_fold import Fold
from nexus_node.wire.group import PARENTS_MAX, GroupId, Kind, Operation, OperationId, Permissions, author_tag


@dataclass(frozen=True, slots=True)
class CoAdmin:
    """Somebody with a certificate that holds."""

    node_id: NodeId
    permissions: Permissions
    expires: int


@dataclass(frozen=True, slots=True)
class GroupState:
    """What N11 and N12 ask for; equal wherever the operations are."""

    group: GroupId
    name: str
    creator: NodeId
    signed_messages: bool
    members: frozenset[NodeId]
    co_admins: tuple[CoAdmin, ...]
    """The most senior first."""
    admin_sequence: int
    """Of the latest operation that took effect."""
    epoch: OperationId
    """The operation that began the epoch to send in."""
    epoch_number: int
    closed: bool
    """Whether somebody has its key who is no member any more and did not leave: nothing is sent until another
    epoch begins."""
    stale: bool
    """Whether its members are others than the group's: an admin that sees this begins another."""
    discarded: dict[OperationId, str] = field(hash=False)
    """What took no effect, or lost, and why in words for its author."""

    @property
    def admins(self) -> list[NodeId]:
        """Who may change anything, the most senior first. With nobody left, nothing changes any more."""
        creator = [self.creator] if self.creator in self.members else []
        return creator + [one.node_id for one in self.co_admins]

    def may(self, who: NodeId, permissions: Permissions) -> bool:
        """Whether that member may do now what needs those permissions."""
        if who not in self.members:
            return False
        return who == self.creator or any(
            one.node_id == who and one.permissions >= permissions for one in self.co_admins
        )

    def outranks(self, who: NodeId, other: NodeId) -> bool:
        """Whether `who` is senior: the creator comes first, then the co-admins in order, then the rest."""
        ranks = {one.node_id: at for at, one in enumerate(self.co_admins)} | {self.creator: -1}
        last = len(self.co_admins)
        return ranks.get(who, last) < ranks.get(other, last)


class GroupLog:
    """The operations of one group that are here. `add` them in any order; those that build on others that are
    not here wait, unverified, and nothing depends on them."""

    def __init__(self, create: Operation) -> None:
        """Raises BadWire("forged_group_operation")."""
        if create.kind != Kind.CREATE or not create.authentic(create.added[0], b""):
            raise BadWire("forged_group_operation")
        self.group = GroupId(create.id_in(b""))
        self.create = create
        self._fold = Fold(create, self.group)
        self._heads: set[OperationId] = {OperationId(self.group)}
        self._waiting: dict[OperationId, Operation] = {}
        self._wanted: dict[OperationId, list[OperationId]] = {}
        """What waits, by each parent that is not here."""
        self._state: GroupState | None = None
        self._of_epoch: dict[OperationId, tuple[NodeId, ...]] = {}

    # --- the set --------------------------------------------------------------------------------
    def __len__(self) -> int:
        return len(self._fold.ids)

    def __contains__(self, operation_id: OperationId) -> bool:
        return operation_id in self._fold.index

    def get(self, operation_id: OperationId) -> Operation | None:
        at = self._fold.index.get(operation_id)
        return None if at is None else self._fold.operations[at]

    def add(self, operation: Operation) -> list[tuple[OperationId, Operation]]:
        """Take an operation in; returns what is now attached because of it, itself perhaps, parents first.

        Raises BadWire("forged_group_operation") for one that no admin or member of this group has signed, or
        whose sequence is not one more than its parents', and BadWire("group_full").
        """
        operation_id = operation.id_in(self.group)
        if operation_id in self or operation_id in self._waiting:
            return []
        missing = self._missing(operation)
        if missing:
            if operation.kind != Kind.CREATE:
                self._wait(operation_id, operation, missing)
            return []
        attached = [(operation_id, operation)]
        self._attach(operation_id, operation)
        for done, _ in attached:
            for child in self._wanted.pop(done, ()):
                waiting = self._waiting.get(child)
                if waiting is None or self._missing(waiting):
                    continue
                del self._waiting[child]
                try:
                    self._attach(child, waiting)
                except BadWire:
                    continue
                attached.append((child, waiting))
        return attached

    def _missing(self, operation: Operation) -> list[OperationId]:
        return [parent for parent in operation.parents if parent not in self]

    def _wait(self, operation_id: OperationId, operation: Operation, missing: list[OperationId]) -> None:
        if len(self._waiting) >= GROUP_UNATTACHED_MAX:
            del self._waiting[next(iter(self._waiting))]
            self._wanted = {
                parent: kept
                for parent, children in self._wanted.items()
                if (kept := [child for child in children if child in self._waiting])
            }
        self._waiting[operation_id] = operation
        for parent in missing:
            self._wanted.setdefault(parent, []).append(operation_id)

    def _attach(self, operation_id: OperationId, operation: Operation) -> None:
        fold = self._fold
        if self.full:
            raise BadWire("group_full")
        parents = [fold.index[parent] for parent in operation.parents]
        if not parents or operation.sequence != 1 + max(fold.operations[one].sequence for one in parents):
            raise BadWire("forged_group_operation")
        author = next(
            (who for who in fold.named(operation.author) if operation.authentic(who, self.group)),
            None,
        )
        if author is None:
            raise BadWire("forged_group_operation")
        fold.attach(operation_id, operation, parents, author)
        self._heads -= set(operation.parents)
        self._heads.add(operation_id)
        self._state = None

    @property
    def heads(self) -> list[OperationId]:
        """The operations that no other here builds on, in order of their ids."""
        return sorted(self._heads)

    @property
    def wanted(self) -> list[OperationId]:
        """Operations that others here build on and that are not here."""
        return [parent for parent in self._wanted if parent not in self._waiting]

    @property
    def waiting(self) -> list[OperationId]:
        """What is here without what it builds on."""
        return list(self._waiting)

    def epoch_called(self, name: bytes) -> OperationId | None:
        """The operation here that begins an epoch and whose id begins so: with `EPOCH_SIZE` bytes."""
        return self._fold.called.get(name)

    def epochs(self) -> list[OperationId]:
        """The operations here that begin an epoch, the latest to come first."""
        fold = self._fold
        pairs = zip(fold.ids, fold.operations, strict=True)
        return [one for one, operation in pairs if operation.kind.begins_epoch][::-1]

    def named(self) -> set[NodeId]:
        """Everybody who was ever to be a member."""
        return {node for operation in self._fold.operations for node in operation.added}

    def since(self, heads: Iterable[OperationId]) -> Iterator[Operation]:
        """What somebody lacks who has these heads and all before them, parents first."""
        fold = self._fold
        known = 0
        for head in heads:
            at = fold.index.get(head)
            if at is not None:
                known |= fold.ancestors[at] | 1 << at
        for at, operation in enumerate(fold.operations):
            if not known >> at & 1:
                yield operation

    @property
    def full(self) -> bool:
        """Whether it takes no more operations."""
        return len(self) >= GROUP_OPERATIONS_MAX

    # --- what it comes to -----------------------------------------------------------------------
    @property
    def state(self) -> GroupState:
        """What all the operations here come to."""
        if self._state is None:
            self._state = self._resolve()
        return self._state

    def _resolve(self) -> GroupState:
        fold = self._fold
        found = fold.resolve()
        epoch = found.epoch
        members = frozenset(found.members.values())
        recipients = frozenset(self.members_of(fold.ids[epoch]) or ())
        create = fold.operations[0]
        return GroupState(
            self.group,
            create.name.decode("utf-8", "replace"),
            create.added[0],
            create.signed_messages,
            members,
            tuple(
                CoAdmin(
                    fold.operations[at].added[0],
                    Permissions(fold.operations[at].permissions),
                    fold.operations[at].expires,
                )
                for at in found.certificates
            ),
            found.sequence,
            fold.ids[epoch],
            fold.epochs[epoch],
            any(address_of(one) not in found.left for one in recipients - members),
            recipients != members,
            {fold.ids[at]: why for at, why in found.discarded.items()},
        )

    def members_of(self, epoch: OperationId) -> tuple[NodeId, ...] | None:
        """Whom the author of that operation gave the epoch's key: the members as it knew them, in order of
        their node ids; a sender's place here stands in its messages. None if it begins no epoch here."""
        at = self._fold.index.get(epoch)
        if at is None or not self._fold.operations[at].kind.begins_epoch:
            return None
        known = self._of_epoch.get(epoch)
        if known is None:
            members = self._fold.resolve(upto=at).members.values()
            known = self._of_epoch[epoch] = tuple(sorted(members))
        return known

    def epoch_number(self, epoch: OperationId) -> int:
        """How many epochs there were up to that operation, along its longest line. Raises KeyError."""
        return self._fold.epochs[self._fold.index[epoch]]

    def author_of(self, operation_id: OperationId) -> NodeId:
        """Raises KeyError when it is not here."""
        return self._fold.authors[self._fold.index[operation_id]]

    # --- new operations -------------------------------------------------------------------------
    def make(self, identity: Identity, kind: Kind, *, time: int, **fields: object) -> Operation:
        """A new operation of ours on top of all that is here, signed but not added.

        Whether it will take effect is for `state.may` to say beforehand. Raises LocalError for a promotion on
        several heads: join them by a rotation first.
        """
        heads = self.heads
        if kind == Kind.PROMOTE and len(heads) > 1:
            raise LocalError("a certificate has one parent; rotate first")
        sequences = {head: self._fold.operations[self._fold.index[head]].sequence for head in heads}
        heads.sort(key=lambda head: (-sequences[head], head))
        parents = tuple(heads[:PARENTS_MAX])
        sequence = 1 + max(sequences.values())
        operation = Operation(kind, sequence, time, author_tag(identity.address), parents)
        return replace(operation, **fields).sign(identity, self.group)  # type: ignore[arg-type]


def create_group(
    identity: Identity, name: bytes, *, salt: bytes, commitment: bytes, time: int, signed: bool
) -> GroupLog:
    """A new group with one member."""
    create = Operation(
        Kind.CREATE,
        0,
        time,
        author_tag(identity.address),
        commitment=commitment,
        added=(identity.node_id,),
        signed_messages=signed,
        salt=salt,
        name=name,
    )
    return GroupLog(create.sign(identity, b""))
