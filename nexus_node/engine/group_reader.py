"""What letters and broadcasts bring to groups, and what follows (N11, N12, M6, docs/protocol/group.md)."""

from nexus_node.base.errors import BadWire, StoreFull
from nexus_node.base.ids import MessageId, NodeId
from nexus_node.base.limits import (
    GROUP_EARLY_KEYS,
    GROUP_WAITING_MAX,
)
from nexus_node.base.states import State
from nexus_node.crypto.address import address_of
from nexus_node.engine.group_book import GroupBook, message_id_of
from nexus_node.engine.group_files import about_of
from nexus_node.engine.group_room import Room
from nexus_node.ports.groups import HeldMessage, Standing, StoredGroup
from nexus_node.ports.store import Incoming
from nexus_node.proto.group import GroupLog
from nexus_node.wire.description import Description, encode_descriptions, parse_descriptions_untrusted
from nexus_node.wire.group import (
    Kind,
    Operation,
    Permissions,
    parse_operation_untrusted,
)
from nexus_node.wire.groupitem import (
    EPOCH_SIZE,
    Ask,
    GroupItem,
    HaveFile,
    Key,
    Lack,
    Operations,
    Sealed,
    parse_group_items_untrusted,
)
from nexus_node.wire.message import CONTENT_FILES, CONTENT_TEXT, CONTENT_TEXT_SETTLED, parse_payload_untrusted
from nexus_node.wire.packet import Packet
from nexus_node.wire.text import parse_text_untrusted

ASKED = "group.asked."
"""A small fact by group: whether its owner has asked to join."""
ROTATE_EVERY_S = 60.0
"""By how much later each further admin rotates what is stale, so that one does."""


class GroupReader(GroupBook):
    """Takes in operations, keys, messages and questions."""

    def take(self, sender: NodeId, body: bytes, now: float) -> None:
        """A letter from somebody, who has proved who it is. Raises BadWire and StoreFull."""
        for item in parse_group_items_untrusted(body):
            self._take_item(sender, item, now)

    def _take_item(self, sender: NodeId, item: GroupItem, now: float) -> None:
        if isinstance(item, Operations):
            self._take_operations(sender, item, now)
        elif isinstance(item, Key):
            self._take_key(sender, item, now)
        elif isinstance(item, Sealed):
            self._take_message(sender, item, now)
        elif isinstance(item, Ask):
            self._take_ask(sender, item, now)
        elif isinstance(item, HaveFile):
            self._take_have_file(sender, item, now)
        elif isinstance(item, Lack):
            self._take_lack(sender, item, now)

    def _take_have_file(self, sender: NodeId, item: HaveFile, now: float) -> None:
        """A member has a whole file of a message of ours."""
        sent, room = self._store.sent(item.message), self._rooms.get(item.group)
        members = room.log.members_of(sent.epoch) if sent is not None and room is not None else None
        if sent is None or sent.group != item.group or members is None or sender not in members:
            self._counters["group_unknown"] += 1
            return
        for file in self.files.of(sent.id):
            if file.object.startswith(item.prefix):
                by, now_ms, place = address_of(sender).hex(), self._wall.ms(now), members.index(sender)
                about = about_of(sent.id, file.object)
                self.post.reached(sent.group, sent.id, place, State.DELIVERED, by, now_ms, part=about)

    def hear(self, peer: NodeId, body: bytes, now: float) -> None:
        """Group items that a neighbour has broadcast. What is for no group of ours is for others.

        Raises BadWire.
        """
        for item in parse_group_items_untrusted(body):
            if isinstance(item, Operations | Sealed) and item.group in self._rooms:
                self._hear_item(peer, item, now)

    def _hear_item(self, peer: NodeId, item: Operations | Sealed, now: float) -> bool:
        """Whether it is good: operations that are taken in, a message that is in the inbox, or one from a
        member whose key this node lacks. Raises BadWire."""
        try:
            if isinstance(item, Operations):
                self._take_operations(peer, item, now)
                log = self._rooms[item.group].log
                parsed = [parse_operation_untrusted(data) for data in item.operations]
                return all(one.id_in(item.group) in log for one in parsed)
            message_id = message_id_of(item.group, item.message)
            if self._store.sent(message_id) is not None:
                return False
            self._take_message(peer, item, now)
        except StoreFull:
            self._counters["refused_store_full"] += 1
            return False
        room = self._rooms[item.group]
        return self._store.incoming(message_id) is not None or peer in room.state.members

    def hear_far(self, peer: NodeId, packet: Packet, now: float) -> None:
        """The same of what members pass on. Raises BadWire."""
        if not self.flood.is_first(peer, packet):
            return
        for item in parse_group_items_untrusted(packet.data):
            if not isinstance(item, Operations | Sealed) or item.group not in self._rooms:
                continue
            if self._hear_item(peer, item, now):
                message_id = message_id_of(item.group, item.message) if isinstance(item, Sealed) else None
                self.flood.pass_on(peer, item.group, packet, message_id, now)
            return

    def _take_operations(self, sender: NodeId, item: Operations, now: float) -> None:
        operations = [one for data in item.operations if (one := self._parsed(data)) is not None]
        room = self._rooms.get(item.group)
        if room is None:
            create = next((one for one in operations if one.kind == Kind.CREATE), None)
            if create is None or not self._has_room_for(item.group, sender):
                self._counters["group_unknown"] += 1
                return
            log = GroupLog(create)
            if log.group != item.group:
                raise BadWire("forged_group_operation")
            known = self._store.group(item.group)
            inviter = known.inviter if known is not None else sender
            asked = known is not None and self._store.get_meta(ASKED + item.group.hex()) == b"\1"
            name = known.name if known is not None and asked else self._free_name(create.name)
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
                self._asks.need_news(room, sender, now)

    def _take_message(self, sender: NodeId, item: Sealed, now: float) -> None:
        message_id = message_id_of(item.group, item.message)
        if self._store.incoming(message_id) is not None:
            self._counters["duplicates"] += 1
            return
        room = self._rooms.get(item.group)
        if room is None:
            if not self._has_room_for(item.group, sender):
                self._counters["group_unknown"] += 1
                return
            if self._store.group(item.group) is None:
                name = self._free_name(item.group.hex()[:8].encode())
                group = StoredGroup(item.group, name, Standing.INVITED, sender, self._wall.ms(now))
                self._store.put_group(group)
            self._asks.need_group(item.group, sender, now)
        elif room.group.standing is not Standing.INVITED and self._read(room, message_id, item.message, now):
            self._catch_up.brought(item.group, sender, now)
            return
        if all(one.id != message_id for one in self._store.held_group_messages(item.group)):
            self._catch_up.brought(item.group, sender, now)
        held = HeldMessage(message_id, item.message, self._wall.ms(now))
        for gone in self._store.hold_group_message(item.group, held, most=GROUP_WAITING_MAX):
            self._failed(item.group, gone)
        if room is not None:
            self._asks.need(room, sender, now)

    def _read(self, room: Room, message_id: MessageId, message: bytes, now: float) -> bool:
        """Read a message into the inbox; False if its key is not here. Raises BadWire."""
        found = room.open(message)
        if found is None:
            return False
        epoch, opened = found
        payload = parse_payload_untrusted(opened.payload)
        content, body, files = payload.content & ~CONTENT_FILES, payload.body, list[Description]()
        if content not in (CONTENT_TEXT, CONTENT_TEXT_SETTLED):
            raise BadWire("unknown_content")
        if payload.content & CONTENT_FILES:
            files, body = parse_descriptions_untrusted(body)
        text = parse_text_untrusted(payload.codec, body)
        sent_ms = opened.seconds * 1000 + payload.millis
        sealed = self._vault.seal(text.encode(), self._rng, message_id)
        row = Incoming(message_id, opened.sender, sent_ms, self._wall.ms(now), sealed, b"", b"")
        if files:
            row.files = self._vault.seal(encode_descriptions(files), self._rng, message_id)
        with self._store.atomic():
            if self._store.add_incoming(row):
                self._store.mark_group(message_id, room.group.id)
                self.files.expect(message_id, room.group.id, opened.sender, files, now)
            room.keep(epoch, opened)
        self._keep(room.group.id, message_id, message, self._wall.ms(now))
        sender = address_of(opened.sender).hex()
        fields = {"id": message_id.hex(), "from": sender, "group": room.group.name}
        self._emit("message_received", dict(fields))
        if content == CONTENT_TEXT_SETTLED and opened.sender == room.log.author_of(epoch):
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
                self._failed(room.group.id, held.id)
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
        for prefix in dict.fromkeys(item.epochs):  # each is answered with a letter, so once
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

    def _take_lack(self, sender: NodeId, item: Lack, now: float) -> None:
        room = self._rooms.get(item.group)
        if room is None or room.group.standing is not Standing.MEMBER:
            self._counters["group_unknown"] += 1
        else:
            self._catch_up.answer(room, sender, item, now)

    def _changed(self, room: Room, now: float) -> None:
        """There are new operations: see where this node stands, and what there is to do."""
        state, own = room.state, self._identity.node_id
        standing = room.group.standing
        if own in state.members and standing is not Standing.MEMBER:
            by = self._who_added(room)
            asked = self._store.get_meta(ASKED + room.group.id.hex()) == b"\1"
            if asked or (by is not None and (by == own or self._contacts.name_of(by) is not None)):
                self._store.set_meta(ASKED + room.group.id.hex(), b"")
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
        due = now + ROTATE_EVERY_S * state.admins.index(own)
        self._rotations.setdefault(room.group.id, due)
        self._arm(self._rotations[room.group.id])
