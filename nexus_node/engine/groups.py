"""Groups as their owner and other members see them: what is asked for, what letters bring, and what falls due
(N11, N12, M6, docs/protocol/group.md)."""

from collections import Counter
from collections.abc import Callable

from nexus_node.base.errors import BadWire, InputError, StoreFull
from nexus_node.base.ids import OBJECT_ID_SIZE, Address, MessageId, NodeId
from nexus_node.base.limits import (
    GROUP_EARLY_KEYS,
    GROUP_INVITATIONS_MAX,
    GROUP_SECRET_S,
    GROUP_WAITING_MAX,
    GROUP_WAITING_S,
    NAME_MAX,
    TEXT_MAX,
)
from nexus_node.base.rng import Rng
from nexus_node.base.states import State
from nexus_node.crypto.address import address_of
from nexus_node.crypto.groupkey import SECRET_SIZE, commitment_of
from nexus_node.crypto.identity import Identity
from nexus_node.crypto.vault import Vault
from nexus_node.engine.contacts import Contacts
from nexus_node.engine.events import Emit
from nexus_node.engine.group_air import GroupAir
from nexus_node.engine.group_asks import GroupAsks
from nexus_node.engine.group_post import GroupPost, Queue
from nexus_node.engine.group_room import Room
from nexus_node.engine.wallclock import WallClock
from nexus_node.ports.groups import HeldMessage, SentMessage, Standing, StoredGroup
from nexus_node.ports.store import Incoming, Store
from nexus_node.proto.group import GroupLog, create_group
from nexus_node.wire.dataobject import KIND_GROUP_MESSAGE, describe
from nexus_node.wire.group import (
    ID_SIZE,
    GroupId,
    Kind,
    Operation,
    OperationId,
    Permissions,
    parse_operation_untrusted,
)
from nexus_node.wire.groupitem import (
    EPOCH_SIZE,
    Ask,
    Join,
    Key,
    Operations,
    Sealed,
    parse_group_items_untrusted,
)
from nexus_node.wire.message import CONTENT_TEXT, CONTENT_TEXT_SETTLED, Payload, parse_payload_untrusted
from nexus_node.wire.text import compress_text, parse_text_untrusted
from nexus_node.wire.uri import clean_name

_GATHER_S = 0.3
"""Additions made so soon after one another are told of together."""
_ROTATE_EVERY_S = 60.0
"""By how much later each further admin rotates what is stale, so that one does."""
_HOUSEKEEPING_S = 3600.0
_AIRED = "group.aired"
"""The same: messages that were broadcast and that not all have confirmed."""
_OWED = "group.owed."
"""Small facts by group: operations of ours that the members have not been told of."""

_STANDINGS = {
    Standing.INVITED: "group_invited",
    Standing.MEMBER: "group_joined",
    Standing.LEFT: "group_left",
}
"""The event of each."""


class Groups:
    """All groups of one node."""

    def __init__(
        self,
        identity: Identity,
        store: Store,
        vault: Vault,
        rng: Rng,
        contacts: Contacts,
        *,
        queue: Queue,
        near: Callable[[NodeId], bool],
        air: Callable[["Groups"], GroupAir],
        counters: Counter[str],
        emit: Emit,
        arm: Callable[[float], None],
        wall: WallClock,
        now: float,
    ) -> None:
        """Args:
        queue: puts a letter into the outbox.
        near: whether there is a way to that node just now.
        air: makes what broadcasts.
        """
        self._identity = identity
        self._store = store
        self._vault = vault
        self._rng = rng
        self._contacts = contacts
        self._counters = counters
        self._emit = emit
        self._arm = arm
        self._wall = wall
        self.post = GroupPost(store, queue, emit, arm, self._settled)
        self._rooms: dict[GroupId, Room] = {}
        self._owed: dict[GroupId, float] = {}
        """When the members of a group are told of what this node has done."""
        self._early: dict[bytes, bytes] = {}
        """Secrets of epochs whose operations have not come, by how letters call these."""
        self._unwritten: list[tuple[MessageId, list[int]]] = []
        """Messages that an earlier run has broadcast, and to whom letters with them are to go."""
        self._rotations: dict[GroupId, float] = {}
        """When this node rotates what is stale, if nobody else has by then."""
        self._asks = GroupAsks(identity.node_id, self.post, arm, near)
        self.air = air(self)
        self._keep_house_at = now + _HOUSEKEEPING_S
        for group in store.groups():
            room = Room.load(store, vault, rng, identity, group)
            if room is None:
                continue
            self._rooms[group.id] = room
            if store.get_meta(_OWED + group.id.hex()):
                self._owed[group.id] = now
            if group.standing is Standing.MEMBER:
                self._asks.look_around(group.id, now)
                self._watch(room, now)
        if self._rooms:
            self._rewrite(now)
            arm(now)

    # --- looking --------------------------------------------------------------------------------
    def named(self, name: str) -> Room | None:
        """The group that is called so here."""
        return next((room for room in self._rooms.values() if room.group.name == name), None)

    def get(self, name: str) -> Room:
        """Raises InputError."""
        room = self.named(name)
        if room is None:
            raise InputError(f"there is no group {name!r}; see: nexus group list")
        return room

    def all(self) -> list[Room]:
        return sorted(self._rooms.values(), key=lambda room: room.group.name)

    def by_id(self, group_id: GroupId) -> Room | None:
        return self._rooms.get(group_id)

    # --- what the owner asks for ----------------------------------------------------------------
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

    def _open(self, group: StoredGroup, log: GroupLog) -> Room:
        self._store.put_group(group)
        self._store.add_operation(group.id, OperationId(group.id), log.create.encode())
        room = Room(self._store, self._vault, self._rng, self._identity, group, log)
        self._rooms[group.id] = room
        return room

    def _check_free(self, name: str) -> None:
        if self.named(name) is not None:
            raise InputError(f"there is a group {name!r} already; choose another name")
        if self._contacts.find(name) is not None:
            raise InputError(f"there is a contact {name!r} already; a group needs a name of its own")

    def add(self, name: str, contact: str, now: float) -> Room:
        room, who = self._mine(name), self._contacts.get(contact).node_id
        if who in room.state.members:
            raise InputError(f"{contact!r} is a member of {name!r} already")
        self._operate(room, Kind.ADD, now, Permissions.MEMBERS, added=(who,), delay=_GATHER_S)
        return room

    def remove(self, name: str, contact: str, now: float) -> Room:
        room = self._mine(name)
        who = self._member(room, contact)
        if who == self._identity.node_id:
            raise InputError(f"to leave a group yourself, use: nexus group leave {name}")
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
        needs = Permissions.ROTATION if itself else Permissions.FULL
        self._operate(room, Kind.DEMOTE, now, needs, removed=(address_of(who),))
        return room

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
        self._stand(room, Standing.MEMBER)
        self._read_waiting(room, now)
        self._watch(room, now)
        return room

    def send(self, name: str, text: str, now: float) -> MessageId:
        """Seal a text once for all members, and post it; durable once `commit` has returned.

        Raises InputError and StoreFull.
        """
        room, raw = self._mine(name), text.encode()
        if not 0 < len(raw) <= TEXT_MAX:
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
        with self._store.atomic():
            message = room.seal(Payload(content, codec, millis, body).encode(), seconds)
            message_id = _id_of(room.group.id, message)
            sealed = self._vault.seal(raw, self._rng, message_id)
            self._store.add_sent(
                SentMessage(message_id, room.group.id, state.epoch, created_ms, message, sealed)
            )
            members = room.log.members_of(state.epoch) or ()
            others = [
                (place, one)
                for place, one in enumerate(members)
                if one != self._identity.node_id and one in state.members
            ]
            places = [place for place, _ in others]
            self._store.expect_delivery(room.group.id, message_id, places, created_ms)
            item = Sealed(room.group.id, message)
            aired = self.air.message(message_id, item, {one: place for place, one in others})
            self._note_aired()
            for place, one in others:
                if one not in aired:
                    self.post.write(room.group.id, one, [item], now, about=message_id, place=place)
        fields = {"id": message_id.hex(), "to": room.group.id.hex(), "state": "queued", "by": ""}
        self._emit("message_state", dict(fields))
        return message_id

    # --- on the air -----------------------------------------------------------------------------
    def hear(self, peer: NodeId, body: bytes, now: float) -> None:
        """Group items that a neighbour has broadcast. What is for no group of ours is for others."""
        for item in parse_group_items_untrusted(body):
            if not isinstance(item, Operations | Sealed) or item.group not in self._rooms:
                continue
            if isinstance(item, Operations):
                self._take_operations(peer, item, now)
            else:
                self._take_message(peer, item, now)

    def has_message(self, prefix: bytes) -> bool:
        """Whether a message is here, be it that its key is not."""
        if self._store.incoming_called(prefix) is not None:
            return True
        held = (one for group in self._rooms for one in self._store.held_group_messages(group))
        return any(one.id.startswith(prefix) for one in held)

    def confirmed(self, message_id: MessageId, place: int, who: NodeId, now: float) -> None:
        """A member in range says that it has a message of ours."""
        sent = self._store.sent(message_id)
        if sent is not None:
            by, now_ms = address_of(who).hex(), self._wall.ms(now)
            self.post.reached(sent.group, message_id, place, State.DELIVERED, by, now_ms)
        self._note_aired()

    def write_letters(self, message_id: MessageId, places: list[int], now: float) -> None:
        """Send a message of ours in letters, to whom broadcasts have not brought it."""
        sent = self._store.sent(message_id)
        room = self._rooms.get(sent.group) if sent is not None else None
        members = room.log.members_of(sent.epoch) if sent is not None and room is not None else None
        if sent is not None and members is not None:
            item = Sealed(sent.group, sent.message)
            for place in places:
                self.post.write(sent.group, members[place], [item], now, about=message_id, place=place)
        self._note_aired()

    def shares_a_group(self, who: NodeId) -> bool:
        """Whether that node is in a group of ours: one broadcast reaches those with whom there are links."""
        return any(
            who in room.state.members
            for room in self._rooms.values()
            if room.group.standing is Standing.MEMBER
        )

    def _note_aired(self) -> None:
        """What is under way on the air is known after a crash."""
        noted = b"".join(self.air.under_way)
        if noted != (self._store.get_meta(_AIRED) or b""):
            self._store.set_meta(_AIRED, noted)

    def _rewrite(self, now: float) -> None:
        """Nobody asks any more who has heard what an earlier run broadcast: letters bring it to the rest."""
        noted = self._store.get_meta(_AIRED) or b""
        for at in range(0, len(noted), OBJECT_ID_SIZE):
            message_id = MessageId(noted[at : at + OBJECT_ID_SIZE])
            lacking = [
                place
                for place, state, _ in self._store.deliveries(message_id)
                if not state.final and not self.post.has_letter(message_id, place)
            ]
            self._unwritten.append((message_id, lacking))

    # --- operations of ours ---------------------------------------------------------------------
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
            told = sorted((state.members | gone) - {own})
            brief = Operations(room.group.id, tuple(one.encode() for one in news))
            heard = self.air.operations(brief, dict.fromkeys(set(told) - added, 0)) if news else set()
            if epoch is not None and members and secret is not None:
                places = [members.index(one) for one in told if one in members]
                self._store.expect_delivery(room.group.id, epoch, places, self._wall.ms(now))
            for one in told:
                data = everything if one in added else [operation.encode() for operation in news]
                data = [] if one in heard else data
                if epoch is not None and members and secret is not None and one in members:
                    key, place = Key(epoch[:EPOCH_SIZE], secret), members.index(one)
                    self.post.write_operations(room.group.id, one, data, now, key, about=epoch, place=place)
                else:
                    self.post.write_operations(room.group.id, one, data, now)

    def _settled(self, group_id: GroupId, epoch: OperationId) -> None:
        room = self._rooms.get(group_id)
        if room is not None and epoch == room.state.epoch:
            room.settle(epoch)

    # --- what letters bring ---------------------------------------------------------------------
    def take(self, sender: NodeId, body: bytes, now: float) -> None:
        """A letter from somebody, who has proved who it is. Raises BadWire and StoreFull."""
        for item in parse_group_items_untrusted(body):
            if isinstance(item, Operations):
                self._take_operations(sender, item, now)
            elif isinstance(item, Key):
                self._take_key(sender, item, now)
            elif isinstance(item, Sealed):
                self._take_message(sender, item, now)
            elif isinstance(item, Ask):
                self._take_ask(sender, item, now)
            elif isinstance(item, Join):
                self._counters["group_joins_refused"] += 1

    def _take_operations(self, sender: NodeId, item: Operations, now: float) -> None:
        operations = [one for data in item.operations if (one := self._parsed(data)) is not None]
        room = self._rooms.get(item.group)
        if room is None:
            create = next((one for one in operations if one.kind == Kind.CREATE), None)
            if create is None or not self._has_room_for(item.group):
                self._counters["group_unknown"] += 1
                return
            log = GroupLog(create)
            if log.group != item.group:
                raise BadWire("forged_group_operation")
            known = self._store.group(item.group)
            inviter = known.inviter if known is not None else sender
            name = self._free_name(create.name)
            group = StoredGroup(item.group, name, Standing.INVITED, inviter, self._wall.ms(now))
            with self._store.atomic():
                room = self._open(group, log)
        news = 0
        for operation in operations:
            try:
                news += room.add(operation)
            except BadWire as error:
                self._counters[error.code] += 1
        if news:
            self._use_early(room, now)
            self._changed(room, now)
        if room.log.wanted:
            self._asks.need(room, sender, now)

    def _use_early(self, room: Room, now: float) -> None:
        """Keys that came before their operations are good now, or are not."""
        for prefix in list(self._early):
            epoch = room.log.epoch_called(prefix)
            if epoch is not None:
                room.learn(epoch, self._early.pop(prefix), self._wall.ms(now))
                self._asks.enough(room.group.id)

    def _parsed(self, data: bytes) -> Operation | None:
        try:
            return parse_operation_untrusted(data)
        except BadWire as error:
            self._counters[error.code] += 1
            return None

    def _has_room_for(self, group_id: GroupId) -> bool:
        """Whether one more group may be kept that nobody here has asked for."""
        if self._store.group(group_id) is not None:
            return True
        invited = [one for one in self._store.groups() if one.standing is Standing.INVITED]
        return len(invited) < GROUP_INVITATIONS_MAX

    def _free_name(self, suggested: bytes) -> str:
        base = clean_name(suggested) or "group"
        taken = {group.name for group in self._store.groups()}
        name, number = base, 1
        while name in taken or self._contacts.find(name) is not None:
            number += 1
            name = f"{base[: NAME_MAX // 4]} {number}"
        return name

    def _take_key(self, sender: NodeId, item: Key, now: float) -> None:
        for room in self._rooms.values():
            epoch = room.log.epoch_called(item.epoch)
            if epoch is not None:
                if room.learn(epoch, item.secret, self._wall.ms(now)):
                    self._read_waiting(room, now)
                return
        # Its operation is on its way, or was missed on the air. A crash forgets the key, and it is asked for.
        self._counters["group_key_unknown"] += 1
        self._early[item.epoch] = item.secret
        if len(self._early) > GROUP_EARLY_KEYS:
            del self._early[next(iter(self._early))]
        for room in self._rooms.values():
            if sender in room.state.members:
                self._asks.need_news(room.group.id, sender, now)

    def _take_message(self, sender: NodeId, item: Sealed, now: float) -> None:
        message_id = _id_of(item.group, item.message)
        if self._store.incoming(message_id) is not None:
            self._counters["duplicates"] += 1
            return
        room = self._rooms.get(item.group)
        if room is None:
            if not self._has_room_for(item.group):
                self._counters["group_unknown"] += 1
                return
            if self._store.group(item.group) is None:
                name = self._free_name(item.group.hex()[:8].encode())
                group = StoredGroup(item.group, name, Standing.INVITED, sender, self._wall.ms(now))
                self._store.put_group(group)
            self._asks.need_group(item.group, sender, now)
        elif room.group.standing is not Standing.INVITED and self._read(room, message_id, item.message, now):
            return
        held = HeldMessage(message_id, item.message, self._wall.ms(now))
        gone = self._store.hold_group_message(item.group, held, most=GROUP_WAITING_MAX)
        self._counters["group_messages_failed"] += gone
        if room is not None:
            self._asks.need(room, sender, now)

    def _read(self, room: Room, message_id: MessageId, message: bytes, now: float) -> bool:
        """Read a message into the inbox; False if its key is not here. Raises BadWire."""
        found = room.open(message)
        if found is None:
            return False
        epoch, opened = found
        payload = parse_payload_untrusted(opened.payload)
        if payload.content not in (CONTENT_TEXT, CONTENT_TEXT_SETTLED):
            raise BadWire("unknown_content")
        text = parse_text_untrusted(payload.codec, payload.body)
        sent_ms = opened.seconds * 1000 + payload.millis
        body = self._vault.seal(text.encode(), self._rng, message_id)
        row = Incoming(message_id, opened.sender, sent_ms, self._wall.ms(now), body, b"", b"")
        with self._store.atomic():
            if self._store.add_incoming(row):
                self._store.mark_group(message_id, room.group.id)
            room.keep(epoch, opened)
        sender = address_of(opened.sender).hex()
        fields = {"id": message_id.hex(), "from": sender, "group": room.group.name}
        self._emit("message_received", dict(fields))
        if payload.content == CONTENT_TEXT_SETTLED and opened.sender == room.log.author_of(epoch):
            room.settle(epoch)
        return True

    def _read_waiting(self, room: Room, now: float) -> None:
        """Read what has waited for a key (M6)."""
        if room.group.standing is Standing.INVITED:
            return
        for held in self._store.held_group_messages(room.group.id):
            try:
                if not self._read(room, held.id, held.data, now):
                    continue
            except BadWire as error:
                self._counters[error.code] += 1
                self._counters["group_messages_failed"] += 1
            except StoreFull:
                return
            self._store.drop_group_message(held.id)

    def _take_ask(self, sender: NodeId, item: Ask, now: float) -> None:
        room = self._rooms.get(item.group)
        if room is None or room.group.standing is Standing.INVITED or sender not in room.log.named():
            self._counters["group_unknown"] += 1
            return
        if not self._asks.may_answer(sender, item.group, now):
            return
        if any(head not in room.log for head in item.heads):
            self._asks.need(room, sender, now)
        data = [one.encode() for one in room.log.since(item.heads)]
        keys = []
        for prefix in item.epochs:
            epoch = room.log.epoch_called(prefix)
            secret = room.secret_for(sender, epoch) if epoch is not None else None
            if epoch is not None and secret is not None:
                keys.append(Key(prefix, secret))
        current = room.state.epoch
        if data and not keys and sender in room.state.members:
            secret = room.secret_for(sender, current)
            keys = [Key(current[:EPOCH_SIZE], secret)] if secret is not None else []
        self.post.write_operations(item.group, sender, data, now)
        for key in keys:
            self.post.write(item.group, sender, [key], now)

    # --- what follows from a change -------------------------------------------------------------
    def _changed(self, room: Room, now: float) -> None:
        """There are new operations: see where this node stands, and what there is to do."""
        state, own = room.state, self._identity.node_id
        standing = room.group.standing
        if own in state.members and standing is not Standing.MEMBER:
            by = self._who_added(room)
            if by is not None and (by == own or self._contacts.name_of(by) is not None):
                self._stand(room, Standing.MEMBER)
            elif standing is Standing.LEFT or not room.announced:
                self._stand(room, Standing.INVITED)
        elif own not in state.members and standing is not Standing.LEFT and own in room.log.named():
            self._stand(room, Standing.LEFT)
        for operation_id, why in room.own_discarded.items():
            if operation_id not in room.told:
                operation = room.log.get(operation_id)
                kind = operation.kind.name.lower() if operation is not None else ""
                self._emit("group_discarded", {"group": room.group.name, "operation": kind, "why": why})
        room.told |= set(state.discarded)
        self._emit(
            "group_changed",
            {
                "group": room.group.name,
                "epoch": state.epoch_number,
                "members": len(state.members),
                "admin_sequence": state.admin_sequence,
            },
        )
        self._read_waiting(room, now)
        self._watch(room, now)

    def _who_added(self, room: Room) -> NodeId | None:
        """Whose operation made this node a member, the latest."""
        by = None
        for operation in room.log.since(()):
            if self._identity.node_id in operation.added:
                by = room.log.author_of(operation.id_in(room.group.id))
        return by

    def _stand(self, room: Room, standing: Standing) -> None:
        old = room.group
        room.group = StoredGroup(old.id, old.name, standing, old.inviter, old.created_ms)
        room.announced = True
        self._store.put_group(room.group)
        inviter = self._contacts.name_of(old.inviter) or address_of(old.inviter).hex()
        self._emit(_STANDINGS[standing], {"group": old.name, "group_id": old.id.hex(), "from": inviter})

    def _watch(self, room: Room, now: float) -> None:
        """See whether a key is missing, or a rotation is this node's to make."""
        if room.group.standing is not Standing.MEMBER:
            self._rotations.pop(room.group.id, None)
            return
        state, own = room.state, self._identity.node_id
        if room.lacks(state.epoch):
            self._asks.need_key(room, room.log.author_of(state.epoch), now)
        if not state.stale or not state.may(own, Permissions.ROTATION):
            self._rotations.pop(room.group.id, None)
            return
        admins = [one.node_id for one in state.co_admins]
        if state.creator in state.members:
            admins.insert(0, state.creator)
        due = now + _ROTATE_EVERY_S * admins.index(own)
        self._rotations.setdefault(room.group.id, due)
        self._arm(self._rotations[room.group.id])

    # --- time -----------------------------------------------------------------------------------
    def expire(self, now: float) -> None:
        """Do what is due."""
        self.post.expire()
        if not self._rooms and not self._asks.any:
            return
        while self._unwritten:
            self.write_letters(*self._unwritten.pop(), now)
        self.air.expire(now)
        for group_id in [one for one, due in self._owed.items() if due <= now]:
            try:
                self._tell(self._rooms[group_id], now)
            except StoreFull:
                self._owed[group_id] = now + _ROTATE_EVERY_S
        for group_id in [one for one, due in self._rotations.items() if due <= now]:
            del self._rotations[group_id]
            try:
                self._operate(self._rooms[group_id], Kind.ROTATE, now, Permissions.ROTATION)
            except (InputError, StoreFull):
                self._counters["group_rotations_failed"] += 1
        self._asks.expire(self._rooms, now)
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
            for held in self._store.held_group_messages(group.id):
                if held.received_ms + GROUP_WAITING_S * 1000 < now_ms:
                    self._counters["group_messages_failed"] += 1
                    self._emit("group_message_failed", {"group": group.name, "id": held.id.hex()})
                    self._store.drop_group_message(held.id)
        for room in self._rooms.values():
            room.forget_before(now_ms - GROUP_SECRET_S * 1000)

    def _time(self, now: float) -> int:
        return self._wall.ms(now) // 1000 if self._wall.trusted(now) else 0

    # --- messages sent --------------------------------------------------------------------------
    def state_of(self, message_id: MessageId) -> State | None:
        """How far a message of ours to a group has come, None for any other."""
        return self.post.state_of(message_id) if self._store.sent(message_id) is not None else None

    def members_at(self, sent: SentMessage) -> dict[int, Address]:
        """Whom a message was for, by their places."""
        room = self._rooms.get(sent.group)
        members = room.log.members_of(sent.epoch) if room is not None else None
        return {place: address_of(one) for place, one in enumerate(members or ())}


def _id_of(group: GroupId, message: bytes) -> MessageId:
    return MessageId(describe(KIND_GROUP_MESSAGE, group + message)[0].id)
