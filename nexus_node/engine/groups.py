"""Groups as their owner has them: verbs, operations of this node, links, and what falls due (N11, N12,
docs/protocol/group.md)."""

from collections.abc import Sequence
from struct import Struct

from nexus_node.base.errors import BadWire, InputError, StoreCorrupt, StoreFull
from nexus_node.base.ids import MessageId, NodeId
from nexus_node.base.limits import (
    ATTACHMENTS_MAX,
    CO_ADMINS_MAX,
    GROUP_KEPT_S,
    GROUP_MEMBERS_MAX,
    GROUP_SECRET_S,
    GROUP_WAITING_S,
    NAME_MAX,
    TEXT_MAX,
)
from nexus_node.crypto.address import address_of
from nexus_node.crypto.groupkey import SECRET_SIZE, commitment_of
from nexus_node.crypto.identity import agreement_key_of
from nexus_node.engine.attach import SealedFile
from nexus_node.engine.group_book import message_id_of
from nexus_node.engine.group_reader import ASKED, ROTATE_EVERY_S, GroupReader
from nexus_node.engine.group_room import Room
from nexus_node.ports.groups import SentMessage, Standing, StoredGroup
from nexus_node.proto.group import create_group
from nexus_node.wire.description import Description, encode_descriptions, parse_descriptions_untrusted
from nexus_node.wire.group import (
    ID_SIZE,
    GroupId,
    Kind,
    OperationId,
    Permissions,
)
from nexus_node.wire.groupitem import (
    EPOCH_SIZE,
    TOKEN_SIZE,
    GroupItem,
    Join,
    Key,
    Operations,
    Sealed,
)
from nexus_node.wire.groupuri import GroupUri, make_group_uri, parse_group_uri_untrusted
from nexus_node.wire.message import CONTENT_FILES, CONTENT_TEXT, CONTENT_TEXT_SETTLED, Payload
from nexus_node.wire.text import compress_text
from nexus_node.wire.uri import clean_name

_GATHER_S = 0.3
"""Additions made so soon after one another are told of together."""
_HOUSEKEEPING_S = 3600.0
_LINK = "group.link."
"""A small fact by group: the link that this node has given out."""
_EXPIRY = Struct("<Q")
_OWED = "group.owed."
"""The same: operations of ours that the members have not been told of."""


class Groups(GroupReader):
    """All groups of one node."""

    def start(self, now: float) -> None:
        """Take up what an earlier run has left."""
        self._keep_house_at = now + _HOUSEKEEPING_S
        for group in self._store.groups():
            room = Room.load(self._store, self._vault, self._rng, self._identity, group)
            if room is None:
                continue
            self._rooms[group.id] = room
            if self._store.get_meta(_OWED + group.id.hex()):
                self._owed[group.id] = now
            if group.standing is Standing.MEMBER:
                self._catch_up.returned(group.id, now)
                self._watch(room, now)
        if self._rooms:
            self.files.take_up(self._described, now)
            self._rewrite(now)
            self._arm(now)

    def _described(self, message_id: MessageId) -> tuple[GroupId, NodeId, list[Description]] | None:
        """The group, author and files of a message in the inbox."""
        row, group = self._store.incoming(message_id), self._store.group_of(message_id)
        if row is None or group is None or not row.files:
            return None
        try:
            return group, row.sender, parse_descriptions_untrusted(self._vault.open(row.files, row.id))[0]
        except (StoreCorrupt, BadWire):
            return None

    def _take_item(self, sender: NodeId, item: GroupItem, now: float) -> None:
        if isinstance(item, Join):
            self._take_join(sender, item, now)
        else:
            super()._take_item(sender, item, now)

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
        self._check_room(room)
        self._operate(room, Kind.ADD, now, Permissions.MEMBERS, added=(who,), delay=_GATHER_S)
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
        state, own = room.state, self._identity.node_id
        seats = [one.node_id for one in state.co_admins if one.node_id != who]
        full = len(seats) >= CO_ADMINS_MAX and not state.outranks(own, seats[-1])
        if full and state.may(own, Permissions.FULL):
            raise InputError(
                f"{name!r} has {CO_ADMINS_MAX} co-admins, none of them junior to you; demote one"
            )
        if len(room.log.heads) > 1:  # a certificate has one parent
            self._operate(room, Kind.ROTATE, now, Permissions.FULL)
        expires = self._time(now) + expires_s if expires_s else 0
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

    def send(self, name: str, text: str, now: float, *, files: Sequence[SealedFile] = ()) -> MessageId:
        """Seal a text, and what is said of files, once for all members, and post it; durable once `commit`
        has returned.

        Raises InputError and StoreFull.
        """
        room, raw = self._mine(name), text.encode()
        if len(files) > ATTACHMENTS_MAX:
            raise InputError(
                f"a message takes {ATTACHMENTS_MAX} files, not {len(files)}; send several messages"
            )
        if not (files or raw) or len(raw) > TEXT_MAX:
            raise InputError(
                f"the text has {len(raw)} bytes and a message takes 1 to {TEXT_MAX}; shorten or split it"
            )
        state = room.state
        if state.closed:
            raise InputError(
                f"somebody was removed from {name!r} and no admin has changed the key since; try again later"
            )
        if room.lacks(state.epoch):
            self._asks.need(room, room.log.author_of(state.epoch), now)
            raise InputError(
                f"the present key of {name!r} is not here yet; it has been asked for, so try again later"
            )
        if room.group.id in self._owed:
            self._tell(room, now)
        created_ms = self._wall.ms(now)
        seconds, millis = divmod(created_ms if self._wall.trusted(now) else 0, 1000)
        codec, body = compress_text(raw)
        settled = room.log.author_of(state.epoch) == self._identity.node_id and (
            room.keys[state.epoch].secret is None
        )
        content = CONTENT_TEXT_SETTLED if settled else CONTENT_TEXT
        if files:
            content |= CONTENT_FILES
            body = encode_descriptions([file.description for file in files]) + body
        with self._store.atomic():
            message = room.seal(Payload(content, codec, millis, body).encode(), seconds)
            message_id = message_id_of(room.group.id, message)
            sealed = self._vault.seal(raw, self._rng, message_id)
            self._store.add_sent(
                SentMessage(message_id, room.group.id, state.epoch, created_ms, message, sealed)
            )
            self._keep(room.group.id, message_id, message, created_ms)
            members = room.log.members_of(state.epoch) or ()
            others = [
                (place, one)
                for place, one in enumerate(members)
                if one != self._identity.node_id and one in state.members
            ]
            places = [place for place, _ in others]
            self._store.expect_delivery(room.group.id, message_id, places, created_ms)
            if files:
                self.files.attach(message_id, room.group.id, files, places, created_ms)
            item = Sealed(room.group.id, message)
            there = {one: place for place, one in others}
            aired = self.flood.message(message_id, room.group.id, state.epoch[:EPOCH_SIZE], item, there, now)
            aired = aired or self.air.message(message_id, item, there)
            self._note_aired()
            for place, one in others:
                if one not in aired:
                    self.post.write(room.group.id, one, [item], now, about=message_id, place=place)
        fields = {"id": message_id.hex(), "to": room.group.id.hex(), "state": "queued", "by": ""}
        self._emit("message_state", dict(fields))
        return message_id

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
        if needs is not None and not state.may(own, needs):
            raise InputError(
                f"in {room.group.name!r} that is for its creator, and for co-admins with the permission "
                f"{needs.name.lower()}; ask one of them"
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
            owed = self._store.get_meta(_OWED + room.group.id.hex()) or b""
            self._store.set_meta(_OWED + room.group.id.hex(), owed + operation_id)
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
        owed = self._store.get_meta(_OWED + room.group.id.hex()) or b""
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
            self._store.set_meta(_OWED + room.group.id.hex(), b"")
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

    def invite(self, name: str, now: float, *, ttl_s: int, renew: bool = False) -> tuple[str, int]:
        """A link with which anybody can join until it is over, and when that is. There is one at a time:
        with `renew` the last one is good for nothing any more. Raises InputError."""
        room = self._mine(name)
        if not room.state.may(self._identity.node_id, Permissions.MEMBERS):
            raise InputError(f"only an admin of {name!r} who may add members can invite; ask one")
        now_ms = self._wall.ms(now)
        token, expires_ms = self._link_of(room.group.id)
        if renew or expires_ms <= now_ms:
            token, expires_ms = self._rng.random_bytes(TOKEN_SIZE), now_ms + ttl_s * 1000
            self._store.set_meta(_LINK + room.group.id.hex(), token + _EXPIRY.pack(expires_ms))
        link = GroupUri(self._identity.node_id, room.group.id, token, name)
        return make_group_uri(link), expires_ms

    def _link_of(self, group_id: GroupId) -> tuple[bytes, int]:
        """The token of the link that this node has given out, and when it is over."""
        kept = self._store.get_meta(_LINK + group_id.hex()) or bytes(TOKEN_SIZE + _EXPIRY.size)
        return kept[:TOKEN_SIZE], _EXPIRY.unpack_from(kept, TOKEN_SIZE)[0]

    def join(self, uri: str, now: float) -> str:
        """Ask whoever made a group link to be added; what the group is called here.

        Raises BadUri and InputError.
        """
        link = parse_group_uri_untrusted(uri)
        room = self._rooms.get(link.group)
        if room is not None and room.group.standing is Standing.MEMBER:
            raise InputError(f"this node is a member of {room.group.name!r} already")
        if link.inviter == self._identity.node_id:
            raise InputError("that link is this node's own; give it to others")
        try:
            agreement_key_of(link.inviter)
        except BadWire:
            raise InputError("that link holds no valid key; ask for it again") from None
        with self._store.atomic():
            known = self._store.group(link.group)
            if known is None:
                name = self._free_name((link.name or "group").encode())
                known = StoredGroup(link.group, name, Standing.INVITED, link.inviter, self._wall.ms(now))
                self._store.put_group(known)
            self._store.set_meta(ASKED + link.group.hex(), b"\1")
            self.post.write(link.group, link.inviter, [Join(link.group, link.token)], now, introduce=True)
        return known.name

    def _take_join(self, sender: NodeId, item: Join, now: float) -> None:
        """Somebody has a link of ours."""
        room = self._rooms.get(item.group)
        token, expires_ms = self._link_of(item.group)
        own = self._identity.node_id
        if (
            room is None
            or item.token != token
            or self._wall.ms(now) >= expires_ms
            or not room.state.may(own, Permissions.MEMBERS)
        ):
            self._counters["group_joins_refused"] += 1
        elif sender in room.state.members:
            data = [one.encode() for one in room.log.since(())]
            self.post.write_operations(item.group, sender, data, now, introduce=True)
        else:
            try:
                self._check_room(room)
                self._operate(room, Kind.ADD, now, Permissions.MEMBERS, added=(sender,), delay=_GATHER_S)
            except InputError:  # the group has as many members as it may
                self._counters["group_joins_refused"] += 1

    def expire(self, now: float) -> None:
        """Do what is due."""
        self.post.expire()
        if not self._rooms and not self._asks.any:
            return
        unwritten, self._unwritten = self._unwritten, []
        for message_id, places in unwritten:
            self.write_letters(message_id, places, now)
        self.air.expire(now)
        self.flood.expire(now)
        self.files.expire(now, self._wall.ms(now))
        for group_id in [one for one, due in self._owed.items() if due <= now]:
            try:
                self._tell(self._rooms[group_id], now)
            except StoreFull:
                self._owed[group_id] = now + ROTATE_EVERY_S
        for group_id in [one for one, due in self._rotations.items() if due <= now]:
            del self._rotations[group_id]
            try:
                self._operate(self._rooms[group_id], Kind.ROTATE, now, Permissions.ROTATION)
            except (InputError, StoreFull):
                self._counters["group_rotations_failed"] += 1
        self._asks.expire(self._rooms, now)
        self._catch_up.expire(self._rooms, now)
        if now >= self._keep_house_at:
            self._keep_house(now)
        for due in (*self._owed.values(), *self._rotations.values(), self._keep_house_at):
            self._arm(due)

    def _keep_house(self, now: float) -> None:
        self._keep_house_at = now + _HOUSEKEEPING_S
        if not self._wall.trusted(now):
            return
        now_ms = self._wall.ms(now)
        for group in self._store.groups():
            if group.id not in self._rooms and group.created_ms + GROUP_WAITING_S * 1000 < now_ms:
                self._store.drop_group(group.id)  # nobody has told what it is
                self._store.set_meta(ASKED + group.id.hex(), b"")
                continue
            for held in self._store.held_group_messages(group.id):
                if held.received_ms + GROUP_WAITING_S * 1000 < now_ms:
                    self._counters["group_messages_failed"] += 1
                    self._emit("group_message_failed", {"group": group.name, "id": held.id.hex()})
                    self._store.drop_group_message(held.id)
        for room in self._rooms.values():
            room.forget_before(now_ms - GROUP_SECRET_S * 1000)
            self._store.drop_kept_group_messages(room.group.id, now_ms - GROUP_KEPT_S * 1000)
