"""Which operations of a group count, and what they come to (N12, docs/protocol/group.md "The fold").

Operations form a graph: each names the newest that its author knew. One *knows* another that is among its
ancestors; two of which neither knows the other are *concurrent*. The order in which they are folded is by
sequence, then by the author's address, the highest first, so that what comes last wins: the highest sequence,
and among equals the lowest address.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field

from nexus_node.base.ids import Address, NodeId
from nexus_node.base.limits import CO_ADMINS_MAX, GROUP_MEMBERS_MAX
from nexus_node.crypto.address import address_of
from nexus_node.wire.group import GroupId, Kind, Operation, OperationId, Permissions, author_tag
from nexus_node.wire.groupitem import EPOCH_SIZE

_NEEDS = {
    Kind.ADD: Permissions.MEMBERS,
    Kind.REMOVE: Permissions.MEMBERS,
    Kind.ROTATE: Permissions.ROTATION,
    Kind.PROMOTE: Permissions.FULL,
    Kind.DEMOTE: Permissions.FULL,
}
_NOT_PERMITTED = "its author was not permitted to do this"
_ENDED = "its author's certificate had been ended by somebody senior, who did not know of it"
_FULL = "three co-admins hold certificates already, none of whom its author may replace"
_TOO_MANY = f"the group has {GROUP_MEMBERS_MAX} members already"
_SENIOR = "its subject is a co-admin whom its author may not demote"
_ITSELF = "nobody removes itself: who goes leaves, and another rotates"
_LOST_EPOCH = "another rotation won, or somebody was removed beside it"
_LOST = "an operation with a higher sequence, or the same and a lower address, says otherwise"


@dataclass(slots=True)
class _Certificate:
    """A promotion that counts, and what ends it."""

    at: int
    subject: Address
    permissions: int
    expires: int
    ended: int | None = None
    """The place in the order of the first operation that ends it."""
    common: int = -1
    """As bits: what all that end it know, themselves included. So far what its holder did counts."""
    overruled: bool = False
    """Whether one that ends it says something else, and did not know of it."""
    replaced: int | None = None
    """The place in the order from which on another has its seat."""


@dataclass(slots=True)
class _Endings:
    """What is said against the certificates of one holder, in order."""

    operations: list[int] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    authors: set[Address] = field(default_factory=set)
    able: list[int] = field(default_factory=list)
    """Those whose authors may say so, as far as is judged by now, and below their places."""
    able_places: list[int] = field(default_factory=list)
    common: list[int] = field(default_factory=list)
    """As bits: what this one and all able ones after it know, itself included."""
    said: list[tuple[int, int] | None] = field(default_factory=list)
    """The promotion that this one and all able ones after it say, if they say the same."""
    judged: int = -1
    """How many certificates the authors held when it was looked who is able."""


@dataclass(slots=True)
class Found:
    """What a set of operations comes to; numbers are places in `Fold`."""

    members: dict[Address, NodeId]
    certificates: list[int]
    sequence: int
    epoch: int
    left: set[Address]
    """Those who are no members because they chose so."""
    discarded: dict[int, str]


class Fold:
    """The attached operations, by the order in which they came: parents before children."""

    def __init__(self, create: Operation, group: GroupId) -> None:
        self.ids: list[OperationId] = []
        self.index: dict[OperationId, int] = {}
        self.operations: list[Operation] = []
        self.authors: list[NodeId] = []
        self.ancestors: list[int] = []
        """As bits: all that each knows."""
        self.epochs: list[int] = []
        self.called: dict[bytes, OperationId] = {}
        """Those that begin an epoch, by how it is called on the air."""
        self._addresses: list[Address] = []
        """Of the authors."""
        self._times: list[int] = []
        """The latest that each or one that it knows claims: nobody goes back."""
        self._keys: list[tuple[int, int, int]] = []
        self._nodes: dict[bytes, list[NodeId]] = {}
        """Everybody an operation has named, by the tag of an author."""
        self.attach(OperationId(group), create, [], create.added[0])

    def attach(
        self, operation_id: OperationId, operation: Operation, parents: list[int], author: NodeId
    ) -> None:
        """Take in an operation whose parents, by place, are here; its signature has been checked."""
        at = len(self.ids)
        known = 0
        for parent in parents:
            known |= self.ancestors[parent] | 1 << parent
        address = address_of(author)
        self.index[operation_id] = at
        self.ids.append(operation_id)
        self.operations.append(operation)
        self.authors.append(author)
        self.ancestors.append(known)
        self.epochs.append(
            max((self.epochs[one] for one in parents), default=0) + operation.kind.begins_epoch
        )
        if operation.kind.begins_epoch:
            self.called.setdefault(operation_id[:EPOCH_SIZE], operation_id)
        self._addresses.append(address)
        self._times.append(max(operation.time, *(self._times[one] for one in parents), 0))
        # The lowest address wins, so it comes last; so does the lower id of two by one author.
        self._keys.append((operation.sequence, -int.from_bytes(address), -int.from_bytes(operation_id)))
        for node in operation.added:
            nodes = self._nodes.setdefault(author_tag(address_of(node)), [])
            if node not in nodes:
                nodes.append(node)

    def named(self, tag: bytes) -> list[NodeId]:
        """Who may have written that author's tag."""
        return self._nodes.get(tag, [])

    def resolve(self, upto: int | None = None) -> Found:
        """What all operations come to, or only one and those it knows."""
        if upto is None:
            chosen = list(range(len(self.ids)))
        else:
            chosen = [*_places(self.ancestors[upto]), upto]
        return _Resolution(self, chosen).run()


class _Resolution:
    """One run over a set of operations that is closed under ancestors."""

    def __init__(self, fold: Fold, chosen: list[int]) -> None:
        self._fold = fold
        self._order = sorted(chosen, key=fold._keys.__getitem__)
        self._place = {at: place for place, at in enumerate(self._order)}
        self._creator = address_of(fold.operations[0].added[0])
        self._held: dict[Address, list[_Certificate]] = {}
        """All certificates that ever counted, by holder, in order."""
        self._endings: dict[Address, _Endings] = {}
        """By holder."""
        self._passed: dict[int, int] = {}
        """How many certificates of its author do not serve an operation, from the first on."""
        self._left: list[int] = []
        """Where the creator left."""
        self._discarded: dict[int, str] = {}

    def run(self) -> Found:
        operations = self._fold.operations
        promotions = []
        for place, at in enumerate(self._order):
            operation = operations[at]
            holders = list(operation.removed)
            if operation.kind == Kind.PROMOTE:
                promotions.append(at)
                holders.append(address_of(operation.added[0]))
            if operation.kind == Kind.LEAVE:
                holders.append(self._fold._addresses[at])
                if self._fold._addresses[at] == self._creator:
                    self._left.append(at)
            for holder in holders:
                endings = self._endings.setdefault(holder, _Endings())
                endings.operations.append(at)
                endings.places.append(place)
                endings.authors.add(self._fold._addresses[at])
        seats: list[_Certificate] = []
        for at in promotions:
            self._promote(at, seats)
        found = self._walk()
        for holder, certificates in self._held.items():
            self._note_conflicts(certificates, self._endings[holder])
        return found

    # --- who may do what ------------------------------------------------------------------------
    def _promote(self, at: int, seats: list[_Certificate]) -> None:
        """Judge a promotion; all before it in the order are judged. `seats`: certificates not seen ended."""
        operation = self._fold.operations[at]
        subject = address_of(operation.added[0])
        rank = self._authority(at, Permissions.FULL)
        if rank is None:
            return
        if subject == self._creator:
            self._discarded[at] = _SENIOR
            return
        place = self._place[at]
        seats[:] = [one for one in seats if not self._is_over(one, place)]
        own = next((one for one in seats if one.subject == subject), None)
        if own is not None and rank >= self._place[own.at]:
            self._discarded[at] = _SENIOR
            return
        others = [one for one in seats if one is not own]
        if len(others) >= CO_ADMINS_MAX:
            latest = others[-1]
            if rank >= self._place[latest.at]:
                self._discarded[at] = _FULL
                return
            latest.replaced = place
            self._discarded[latest.at] = _LOST
            seats.remove(latest)
        certificate = _Certificate(at, subject, operation.permissions, operation.expires)
        self._find_ends(certificate, self._endings[subject])
        self._held.setdefault(subject, []).append(certificate)
        seats.append(certificate)

    def _find_ends(self, certificate: _Certificate, endings: _Endings) -> None:
        """Note what ends a certificate. Looks no farther than it matters: whoever promotes and demotes
        somebody a thousand times must not cost everybody a million looks."""
        fold, at = self._fold, certificate.at
        said = (certificate.permissions, certificate.expires)
        judged = sum(len(self._held.get(author, ())) for author in endings.authors - {certificate.subject})
        if judged != endings.judged:
            endings.judged = judged
            self._look_back(certificate.subject, endings)
        found = 0
        for number in range(bisect_right(endings.able_places, self._place[at]), len(endings.able)):
            end = endings.able[number]
            known = fold.ancestors[end]
            # One that knows of another end adds nothing: it knows all that the other knows.
            if known & found or not self._may_end(end, certificate.subject):
                continue
            if certificate.ended is None:
                certificate.ended = endings.able_places[number]
            found |= 1 << end
            certificate.common &= known | 1 << end
            if _said(fold.operations[end]) != said and not known >> at & 1:
                certificate.overruled = True
            if endings.common[number] >> end & 1:
                break  # all that come later know of this one
            settled = certificate.overruled or endings.said[number] == said
            if settled and not certificate.common >> at + 1:
                break  # nothing that knows of the certificate is left to count

    def _look_back(self, holder: Address, endings: _Endings) -> None:
        """Note who is able to end a certificate of that holder, and of each what holds of all after it."""
        able = [end for end in endings.operations if self._may_end(end, holder)]
        endings.able, endings.able_places = able, [self._place[end] for end in able]
        endings.common, endings.said = [], []
        common, said = -1, _said(self._fold.operations[able[-1]]) if able else None
        for end in reversed(able):
            common &= self._fold.ancestors[end] | 1 << end
            said = said if _said(self._fold.operations[end]) == said else None
            endings.common.append(common)
            endings.said.append(said)
        endings.common.reverse()
        endings.said.reverse()

    def _note_conflicts(self, certificates: list[_Certificate], endings: _Endings) -> None:
        """Of those about one co-admin who did not know of each other the later in the order wins, and the
        author of the other is told."""
        fold, before, demotions = self._fold, 0, 0
        for certificate in certificates:
            if certificate.overruled:
                self._discarded.setdefault(certificate.at, _LOST)
            place = bisect_left(endings.places, self._place[certificate.at])
            for end in endings.operations[before:place]:
                if fold.operations[end].kind == Kind.DEMOTE:
                    demotions |= 1 << end
            before = place
            lost = demotions & ~fold.ancestors[certificate.at]
            for end in _places(lost):
                self._discarded.setdefault(end, _LOST)
            demotions ^= lost

    def _may_end(self, end: int, holder: Address) -> bool:
        """Whether an operation against a holder comes from itself, or from somebody senior."""
        if self._fold._addresses[end] == holder:
            return self._fold.operations[end].kind in (Kind.LEAVE, Kind.DEMOTE)
        return self._rank(end) is not None

    def _is_over(self, certificate: _Certificate, place: int) -> bool:
        """Whether a certificate holds no more at that place of the order."""
        return (certificate.replaced is not None and certificate.replaced <= place) or (
            certificate.ended is not None and certificate.ended < place
        )

    def _authority(self, at: int, needs: Permissions) -> int | None:
        """The place of the certificate that an author acts under, -1 for the creator; None for no authority,
        which is noted."""
        if self._fold._addresses[at] == self._creator:
            if self._has_not_left(at):
                return -1
            self._discarded[at] = _NOT_PERMITTED
            return None
        why = _NOT_PERMITTED
        for certificate in self._held.get(self._fold._addresses[at], ()):
            if self._covers(certificate, at, needs):
                if self._lasts(certificate, at):
                    return self._place[certificate.at]
                why = _ENDED
        self._discarded[at] = why
        return None

    def _rank(self, at: int) -> int | None:
        """As `_authority` with all permissions, as far as is judged by now; nothing is noted. Asked of one
        operation for each certificate that it may end: what does not serve never will, and is passed over."""
        if self._fold._addresses[at] == self._creator:
            return -1 if self._has_not_left(at) else None
        held = self._held.get(self._fold._addresses[at], [])
        number = self._passed.get(at, 0)
        while number < len(held):
            certificate = held[number]
            if self._covers(certificate, at, Permissions.FULL) and self._lasts(certificate, at):
                break
            number += 1
        self._passed[at] = number
        return self._place[held[number].at] if number < len(held) else None

    def _has_not_left(self, at: int) -> bool:
        """Whether the creator had not left the group when it did this."""
        return all(at == end or self._knows(end, at) for end in self._left)

    def _covers(self, certificate: _Certificate, at: int, needs: Permissions) -> bool:
        """Whether its holder might do this by it, and knew it."""
        return (
            certificate.permissions >= needs
            and self._knows(at, certificate.at)
            and not (certificate.expires and self._fold._times[at] > certificate.expires)
        )

    def _lasts(self, certificate: _Certificate, at: int) -> bool:
        """Whether nothing had ended it by then."""
        return (certificate.replaced is None or self._place[at] < certificate.replaced) and bool(
            certificate.common >> at & 1
        )

    def _knows(self, one: int, other: int) -> bool:
        """Whether `other` is an ancestor of `one`."""
        return bool(self._fold.ancestors[one] >> other & 1)

    # --- what it comes to -----------------------------------------------------------------------
    def _walk(self) -> Found:
        fold = self._fold
        creator = fold.operations[0].added[0]
        members: dict[Address, NodeId] = {self._creator: creator}
        said: dict[Address, int] = {self._creator: 0}
        """By whom each member's standing was last changed."""
        epochs = [0]
        removals: list[int] = []
        sequence = 0
        for at in self._order[1:]:
            operation = fold.operations[at]
            kind = operation.kind
            if kind == Kind.LEAVE:
                if fold._addresses[at] in members:
                    self._set(members, said, fold._addresses[at], None, at)
                    sequence = operation.sequence
                else:
                    self._discarded[at] = _NOT_PERMITTED
                continue
            if kind == Kind.PROMOTE:
                if at not in self._discarded:
                    self._add(members, said, operation, at)  # who decides belongs to it
                    sequence = operation.sequence
                continue
            itself = fold._addresses[at] in operation.removed
            if itself and kind == Kind.REMOVE:  # it would know the key of the epoch after it
                self._discarded[at] = _ITSELF
                continue
            resigns = itself and kind == Kind.DEMOTE
            rank = self._authority(at, Permissions.ROTATION if resigns else _NEEDS[kind])
            if rank is None:
                continue
            sequence = operation.sequence
            if kind == Kind.ADD:
                self._add(members, said, operation, at)
            elif kind == Kind.REMOVE:
                removals.append(at)
                for subject in operation.removed:
                    if self._is_beyond(subject, at):
                        self._discarded[at] = _SENIOR
                    else:
                        self._set(members, said, subject, None, at)
            elif kind == Kind.DEMOTE and self._is_beyond(operation.removed[0], at):
                self._discarded[at] = _SENIOR
            if kind.begins_epoch:
                epochs.append(at)
        epoch = self._current(epochs, removals)
        left = {one for one, at in said.items() if fold.operations[at].kind == Kind.LEAVE}
        end = len(self._order)
        certificates = [
            certificate
            for held in self._held.values()
            for certificate in held
            if not self._is_over(certificate, end) and certificate.subject in members
        ]
        certificates.sort(key=lambda one: self._place[one.at])
        return Found(members, [one.at for one in certificates], sequence, epoch, left, self._discarded)

    def _add(
        self, members: dict[Address, NodeId], said: dict[Address, int], operation: Operation, at: int
    ) -> None:
        for node in operation.added:
            address = address_of(node)
            if address not in members and len(members) >= GROUP_MEMBERS_MAX:
                self._discarded[at] = _TOO_MANY
            else:
                self._set(members, said, address, node, at)

    def _set(
        self,
        members: dict[Address, NodeId],
        said: dict[Address, int],
        address: Address,
        node: NodeId | None,
        at: int,
    ) -> None:
        """Somebody is a member now, or is none any more; what was said before, and is not known, has lost."""
        before = said.get(address)
        if before is not None and (address in members) != (node is not None) and not self._knows(at, before):
            self._discarded[before] = _LOST
        said[address] = at
        if node is None:
            members.pop(address, None)
        else:
            members[address] = node

    def _is_beyond(self, subject: Address, at: int) -> bool:
        """Whether somebody has a standing that the author of an operation may not take."""
        if subject == self._fold._addresses[at]:
            return False
        if subject == self._creator:
            return True
        place = self._place[at]
        held = [
            self._place[one.at]
            for one in self._held.get(subject, ())
            if self._place[one.at] < place and not self._is_over(one, place)
        ]
        if not held:
            return False
        rank = self._rank(at)
        return rank is None or rank >= held[0]

    def _current(self, epochs: list[int], removals: list[int]) -> int:
        """The last epoch beside which nobody was removed; what it does not know of is discarded."""
        for epoch in reversed(epochs):
            if not any(
                one != epoch and not self._knows(epoch, one) and not self._knows(one, epoch)
                for one in removals
            ):
                break
        for other in epochs:
            if other != epoch and not self._knows(epoch, other):
                self._discarded.setdefault(other, _LOST_EPOCH)
        return epoch


def _said(operation: Operation) -> tuple[int, int] | None:
    """What a promotion says of its subject."""
    return (operation.permissions, operation.expires) if operation.kind == Kind.PROMOTE else None


def _places(bits: int) -> Iterator[int]:
    """The places of the bits that are set, lowest first."""
    text = bin(bits)[:1:-1]
    at = text.find("1")
    while at >= 0:
        yield at
        at = text.find("1", at + 1)
