"""All groups of a node: messages of its own, links to join by, what an earlier run has left, and what falls
due (N11, docs/protocol/group.md)."""

from collections.abc import Sequence
from struct import Struct

from nexus_node.base.errors import BadWire, InputError, StoreCorrupt, StoreFull
from nexus_node.base.ids import MessageId, NodeId
from nexus_node.base.limits import (
    ATTACHMENTS_MAX,
    GROUP_KEPT_S,
    GROUP_SECRET_S,
    GROUP_WAITING_S,
    TEXT_MAX,
)
from nexus_node.crypto.identity import agreement_key_of
from nexus_node.engine.attach import SealedFile
from nexus_node.engine.group_admin import GATHER_S, OWED, GroupAdmin
from nexus_node.engine.group_book import message_id_of
from nexus_node.engine.group_reader import ASKED, ROTATE_EVERY_S
from nexus_node.engine.group_room import Room
from nexus_node.ports.groups import SentMessage, Standing, StoredGroup
from nexus_node.wire.description import Description, encode_descriptions, parse_descriptions_untrusted
from nexus_node.wire.group import (
    GroupId,
    Kind,
    Permissions,
)
from nexus_node.wire.groupitem import (
    EPOCH_SIZE,
    TOKEN_SIZE,
    GroupItem,
    Join,
    Sealed,
)
from nexus_node.wire.groupuri import GroupUri, make_group_uri, parse_group_uri_untrusted
from nexus_node.wire.message import CONTENT_FILES, CONTENT_TEXT, CONTENT_TEXT_SETTLED, Payload
from nexus_node.wire.text import compress_text

_HOUSEKEEPING_S = 3600.0
_LINK = "group.link."
"""A small fact by group: the link that this node has given out."""
_EXPIRY = Struct("<Q")


class Groups(GroupAdmin):
    """All groups of one node."""

    def start(self, now: float) -> None:
        """Take up what an earlier run has left."""
        self._keep_house_at = now + _HOUSEKEEPING_S
        for group in self._store.groups():
            room = Room.load(self._store, self._vault, self._rng, self._identity, group)
            if room is None:
                continue
            self._rooms[group.id] = room
            if self._store.get_meta(OWED + group.id.hex()):
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
        members = room.log.members_of(state.epoch) or ()
        others = [
            (place, one)
            for place, one in enumerate(members)
            if one != self._identity.node_id and one in state.members
        ]
        if not others:
            raise InputError(
                f"nobody else in {name!r} has its key, so nobody could read that; "
                f"see: nexus group show {name}"
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
            places = [place for place, _ in others]
            self._store.expect_delivery(room.group.id, message_id, places, created_ms)
            if files:
                self.files.attach(message_id, room.group.id, files, places, created_ms)
            item = Sealed(room.group.id, message)
            there = {one: place for place, one in others}
            aired = self.flood.message(message_id, room.group.id, state.epoch[:EPOCH_SIZE], item, there, now)
            aired = aired or self.air.message(message_id, item, there, now)
            self._note_aired()
            for place, one in others:
                if one not in aired:
                    self.post.write(room.group.id, one, [item], now, about=message_id, place=place)
        fields = {"id": message_id.hex(), "to": room.group.id.hex(), "state": "queued", "by": ""}
        self._emit("message_state", dict(fields))
        return message_id

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
                self._operate(room, Kind.ADD, now, Permissions.MEMBERS, added=(sender,), delay=GATHER_S)
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
            unknown = group.id not in self._rooms and group.standing is Standing.INVITED
            if unknown and group.created_ms + GROUP_WAITING_S * 1000 < now_ms:
                self._store.drop_group(group.id)  # nobody has told what it is
                self._store.set_meta(ASKED + group.id.hex(), b"")
                continue
            for held in self._store.held_group_messages(group.id):
                if held.received_ms + GROUP_WAITING_S * 1000 < now_ms:
                    self._failed(group.id, held.id)
                    self._store.drop_group_message(held.id)
        for room in self._rooms.values():
            room.forget_before(now_ms - GROUP_SECRET_S * 1000)
            self._store.drop_kept_group_messages(room.group.id, now_ms - GROUP_KEPT_S * 1000)
