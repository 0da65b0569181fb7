"""What an owner does about groups, and what this node signs and tells because of it (N11, N12,
docs/protocol/group.md)."""

from nexus_node.base.errors import InputError
from nexus_node.base.ids import NodeId
from nexus_node.base.limits import CO_ADMINS_MAX, GROUP_MEMBERS_MAX, NAME_MAX
from nexus_node.crypto.address import address_of
from nexus_node.crypto.groupkey import SECRET_SIZE, commitment_of
from nexus_node.engine.group_reader import GroupReader
from nexus_node.engine.group_room import Room
from nexus_node.ports.groups import Standing, StoredGroup
from nexus_node.proto.group import create_group
from nexus_node.wire.group import EXPIRES_MAX, ID_SIZE, Kind, OperationId, Permissions, is_node
from nexus_node.wire.groupitem import EPOCH_SIZE, Key, Operations
from nexus_node.wire.uri import clean_name

GATHER_S = 0.3
"""Additions made so soon after one another are told of together."""
OWED = "group.owed."
"""A small fact by group: operations of ours that the members have not been told of."""


class GroupAdmin(GroupReader):
    """Makes groups and operations; who may not, or to no effect, is told so before anything is signed."""

    def create(self, name: str, now: float, *, signed: bool = False) -> Room:
        """A new group, of this node alone. Raises InputError and StoreFull."""
        if not name or name != clean_name(name.encode()) or len(name.encode()) > NAME_MAX:
            raise InputError(
                f"a group's name is 1 to {NAME_MAX} printable characters; choose another than {name!r}"
            )
        self._check_free(name)
        secret = self._rng.random_bytes(SECRET_SIZE)
        log = create_group(
            self._identity,
            name.encode(),
            salt=self._rng.random_bytes(16),
            commitment=commitment_of(secret),
            time=self._time(now),
            signed=signed,
        )
        group = StoredGroup(log.group, name, Standing.MEMBER, self._identity.node_id, self._wall.ms(now))
        with self._store.atomic():
            room = self._open(group, log)
            room.learn(OperationId(log.group), secret, self._wall.ms(now))
        room.settle(OperationId(log.group))  # nobody else will ever be told this one
        return room

    def add(self, name: str, contact: str, now: float) -> Room:
        room, who = self._mine(name), self._contacts.get(contact).node_id
        if who in room.state.members:
            raise InputError(f"{contact!r} is a member of {name!r} already")
        if not is_node(who):
            raise InputError(f"{contact!r} is no Nexus node and has no key; only nodes are members of groups")
        self._check_room(room)
        self._operate(room, Kind.ADD, now, Permissions.MEMBERS, added=(who,), delay=GATHER_S)
        return room

    def remove(self, name: str, contact: str, now: float) -> Room:
        room = self._mine(name)
        who = self._member(room, contact)
        if who == self._identity.node_id:
            raise InputError(f"to leave a group yourself, use: nexus group leave {name}")
        self._check_junior(room, who, contact)
        self._operate(room, Kind.REMOVE, now, Permissions.MEMBERS, removed=(address_of(who),))
        return room

    def rotate(self, name: str, now: float) -> Room:
        room = self._mine(name)
        self._operate(room, Kind.ROTATE, now, Permissions.ROTATION)
        return room

    def promote(
        self, name: str, contact: str, permissions: Permissions, now: float, *, expires_s: int = 0
    ) -> Room:
        """`expires_s`: seconds from now after which the certificate is good for nothing, 0 for never."""
        room = self._mine(name)
        who = self._member(room, contact)
        self._check_junior(room, who, contact)
        expires = self._expiry(expires_s, now)
        state, own = room.state, self._identity.node_id
        seats = [one.node_id for one in state.co_admins if one.node_id != who]
        full = len(seats) >= CO_ADMINS_MAX and not state.outranks(own, seats[-1])
        if full and state.may(own, Permissions.FULL):
            raise InputError(
                f"{name!r} has {CO_ADMINS_MAX} co-admins, none of them junior to you; demote one"
            )
        if len(room.log.heads) > 1:  # a certificate has one parent
            self._operate(room, Kind.ROTATE, now, Permissions.FULL)
        self._operate(
            room,
            Kind.PROMOTE,
            now,
            Permissions.FULL,
            added=(who,),
            permissions=permissions,
            expires=expires,
        )
        return room

    def _expiry(self, expires_s: int, now: float) -> int:
        """When what is good for so many seconds is over, 0 for never."""
        if not expires_s:
            return 0
        if not self._wall.trusted(now):
            raise InputError("the clock of this node is not set, so it cannot say when a certificate is over")
        expires = self._time(now) + expires_s
        if expires > EXPIRES_MAX:
            raise InputError(
                f"a certificate is good for {EXPIRES_MAX - self._time(now)} seconds at most; leave the "
                "expiry out for one without an end"
            )
        return expires

    def demote(self, name: str, contact: str, now: float) -> Room:
        room = self._mine(name)
        who = self._member(room, contact)
        if all(one.node_id != who for one in room.state.co_admins):
            raise InputError(f"{contact!r} is no co-admin of {name!r}")
        itself = who == self._identity.node_id
        if not itself:
            self._check_junior(room, who, contact)
        needs = Permissions.ROTATION if itself else Permissions.FULL
        self._operate(room, Kind.DEMOTE, now, needs, removed=(address_of(who),))
        return room

    def _check_room(self, room: Room) -> None:
        """What would take no effect is not signed: who begins an epoch writes a letter to every member."""
        if len(room.state.members) >= GROUP_MEMBERS_MAX:
            raise InputError(
                f"{room.group.name!r} has {GROUP_MEMBERS_MAX} members, and a group takes no more"
            )

    def _check_junior(self, room: Room, who: NodeId, contact: str) -> None:
        """The same: nobody ends or replaces what somebody senior may do, and of co-admins only who has full
        permission does."""
        state, own = room.state, self._identity.node_id
        holds = who == state.creator or any(one.node_id == who for one in state.co_admins)
        if holds and not (state.outranks(own, who) and state.may(own, Permissions.FULL)):
            raise InputError(
                f"{contact!r} is an admin of {room.group.name!r} whom you may not demote, remove or promote; "
                "that is for its creator, and for senior co-admins with full permission"
            )

    def leave(self, name: str, now: float) -> Room:
        """Leave a group, or decline an invitation. Raises InputError."""
        room = self.get(name)
        if room.group.standing is not Standing.INVITED:
            self._mine(name)
        if room.log.full:  # it can tell nobody, and goes all the same
            self._stand(room, Standing.LEFT)
        else:
            self._operate(room, Kind.LEAVE, now, None)
        return room

    def accept(self, name: str, now: float) -> Room:
        """Be a member of a group that somebody has invited this node to. Raises InputError."""
        room = self.get(name)
        if room.group.standing is Standing.LEFT:
            raise InputError(f"this node is no member of {name!r} any more; ask an admin to be added again")
        if room.group.standing is Standing.MEMBER:
            raise InputError(f"this node is a member of {name!r} already")
        self._stand(room, Standing.MEMBER)
        self._read_waiting(room, now)
        self._watch(room, now)
        return room

    def _mine(self, name: str) -> Room:
        room = self.get(name)
        if room.group.standing is Standing.INVITED:
            raise InputError(
                f"you were invited to {name!r} and have not accepted; use: nexus group accept {name}"
            )
        if room.group.standing is Standing.LEFT:
            raise InputError(f"this node is no member of {name!r} any more; ask an admin to be added again")
        return room

    def _member(self, room: Room, name: str) -> NodeId:
        """A member by its contact's name or its address, which is all there is of one that is no contact."""
        for member in room.state.members:
            if name in (self._contacts.name_of(member), address_of(member).hex()):
                return member
        raise InputError(
            f"{name!r} is no member of {room.group.name!r}; see: nexus group show {room.group.name}"
        )

    def _operate(
        self,
        room: Room,
        kind: Kind,
        now: float,
        needs: Permissions | None,
        *,
        delay: float = 0.0,
        **fields: object,
    ) -> OperationId:
        """Sign an operation, take it in, and see that the members hear of it."""
        own, state = self._identity.node_id, room.state
        if needs is not None and not state.admins:
            raise InputError(
                f"{room.group.name!r} has no admin any more, so nobody can do that; make a new group"
            )
        if needs is not None and not state.may(own, needs):
            raise InputError(
                f"in {room.group.name!r} that is for its creator, and for co-admins with the permission "
                f"{needs.name.lower()}; ask one of them"
            )
        if room.log.full:
            raise InputError(
                f"{room.group.name!r} has had {len(room.log)} changes, and a group takes no more; "
                "make a new one"
            )
        time = self._time(now)
        expires = next((one.expires for one in state.co_admins if one.node_id == own), 0)
        if needs is not None and own != state.creator and expires and time > expires:
            raise InputError(
                f"your certificate for {room.group.name!r} has expired; ask who gave it for another"
            )
        secret = self._rng.random_bytes(SECRET_SIZE)
        if kind.begins_epoch:
            fields["commitment"] = commitment_of(secret)
        operation = room.log.make(self._identity, kind, time=time, **fields)
        operation_id = operation.id_in(room.group.id)
        with self._store.atomic():
            room.add(operation)
            if kind.begins_epoch:
                room.learn(operation_id, secret, self._wall.ms(now))
            owed = self._store.get_meta(OWED + room.group.id.hex()) or b""
            self._store.set_meta(OWED + room.group.id.hex(), owed + operation_id)
        due = now + delay
        self._owed[room.group.id] = min(due, self._owed.get(room.group.id, due)) if delay else due
        self._arm(due)
        self._changed(room, now)
        why = room.state.discarded.get(operation_id)
        if why is not None:
            raise InputError(f"that took no effect in {room.group.name!r}: {why}")
        return operation_id

    def _tell(self, room: Room, now: float) -> None:
        """Tell the members what this node has done: newcomers all, and all the key that is new."""
        self._owed.pop(room.group.id, None)
        log, state = room.log, room.state
        owed = self._store.get_meta(OWED + room.group.id.hex()) or b""
        ids = [OperationId(owed[at : at + ID_SIZE]) for at in range(0, len(owed), ID_SIZE)]
        news = [operation for one in ids if (operation := log.get(one)) is not None]
        added = {node for one in news if one.kind in (Kind.ADD, Kind.PROMOTE) for node in one.added}
        removed = {address for one in news if one.kind == Kind.REMOVE for address in one.removed}
        gone = {node for node in log.named() if address_of(node) in removed} - state.members
        own = self._identity.node_id
        epoch = next((one for one in reversed(ids) if one in room.keys), None)
        members = log.members_of(epoch) if epoch is not None else ()
        secret = room.keys[epoch].secret if epoch is not None else None
        everything = [one.encode() for one in log.since(())]
        with self._store.atomic():
            self._store.set_meta(OWED + room.group.id.hex(), b"")
            for older in ids:
                if older in room.keys and older != epoch:  # nobody was told of it: nothing was sealed for it
                    room.forget(older)
            told = sorted((state.members | gone) - {own})
            brief = Operations(room.group.id, tuple(one.encode() for one in news))
            known = (set(told) - added) & state.members
            before = next((one for one in log.epochs() if one not in ids), None)
            heard = set()
            if news and before is not None:
                heard = self.flood.operations(brief, before[:EPOCH_SIZE], known, now)
            if news and not heard:
                heard = self.air.operations(
                    brief, dict.fromkeys((one for one in told if one not in added), 0)
                )
            if epoch is not None and members and secret is not None:
                places = [members.index(one) for one in told if one in members]
                self._store.expect_delivery(room.group.id, epoch, places, self._wall.ms(now))
            for one in told:
                new = one in added
                data = everything if new else [operation.encode() for operation in news]
                data = [] if one in heard else data
                if epoch is not None and members and secret is not None and one in members:
                    key, place = Key(epoch[:EPOCH_SIZE], secret), members.index(one)
                    self.post.write_operations(
                        room.group.id, one, data, now, key, introduce=new, about=epoch, place=place
                    )
                else:
                    self.post.write_operations(room.group.id, one, data, now, introduce=new)
