"""The groups of one node: what is there, and how far messages to them have come (N11, N12)."""

from collections import Counter
from collections.abc import Callable

from nexus_node.base.errors import InputError, StoreFull
from nexus_node.base.ids import OBJECT_ID_SIZE, Address, MessageId, NodeId
from nexus_node.base.limits import (
    GROUP_INVITATIONS_MAX,
    GROUP_KEPT_MAX,
    NAME_MAX,
)
from nexus_node.base.rng import Rng
from nexus_node.base.states import State
from nexus_node.crypto.address import address_of
from nexus_node.crypto.identity import Identity
from nexus_node.crypto.vault import Vault
from nexus_node.engine.contacts import Contacts
from nexus_node.engine.events import Emit
from nexus_node.engine.fetching import Fetcher
from nexus_node.engine.group_air import GroupAir
from nexus_node.engine.group_asks import GroupAsks
from nexus_node.engine.group_catchup import GroupCatchUp
from nexus_node.engine.group_files import GroupFiles
from nexus_node.engine.group_flood import GroupFlood
from nexus_node.engine.group_post import GroupPost, Queue
from nexus_node.engine.group_room import Room
from nexus_node.engine.peers import Attachment
from nexus_node.engine.wallclock import WallClock
from nexus_node.ports.groups import HeldMessage, SentMessage, Standing, StoredGroup
from nexus_node.ports.store import Store
from nexus_node.proto.group import GroupLog
from nexus_node.wire.dataobject import KIND_GROUP_MESSAGE, describe
from nexus_node.wire.group import (
    GroupId,
    OperationId,
)
from nexus_node.wire.groupitem import (
    Sealed,
)
from nexus_node.wire.uri import clean_name

_FULL_S = 60.0
"""When the store had no room it is tried again after so long."""
_LETTER_SIZE = 250
"""Bytes on the air of a key, its receipt, and what is repeated of them."""
AIRED = "group.aired"
"""A small fact: messages that were broadcast and that not all have confirmed."""
_STANDINGS = {
    Standing.INVITED: "group_invited",
    Standing.MEMBER: "group_joined",
    Standing.LEFT: "group_left",
}
"""The event of each."""


class GroupBook:
    """All groups of one node, with what `GroupReader` and `Groups` do with them."""

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
        air: Callable[["GroupBook"], GroupAir],
        flood: Callable[["GroupBook"], GroupFlood],
        link_to: Callable[[NodeId], Attachment | None],
        fetcher: Callable[[], Fetcher],
        counters: Counter[str],
        emit: Emit,
        arm: Callable[[float], None],
        wall: WallClock,
    ) -> None:
        """Args:
        queue: puts a letter into the outbox.
        near: whether there is a way to that node just now.
        air, flood: make what broadcasts, and what passes on.
        link_to: the link to a neighbour.
        fetcher: what fetches objects, once it is made.
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
        self._asks = GroupAsks(identity.node_id, self.post, arm, self._is_near, self._letter_s)
        self._catch_up = GroupCatchUp(identity.node_id, store, self.post, arm, self._is_near)
        self._link_to = link_to
        self._near = near
        self.files = GroupFiles(
            store, vault, rng, self.post, fetcher=fetcher, members=self._members_near, emit=emit, arm=arm
        )
        self.post.state_of_files = self.files.state_of
        self.air, self.flood = air(self), flood(self)
        self._keep_house_at = 0.0

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

    def _has_room_for(self, group_id: GroupId, sender: NodeId) -> bool:
        """Whether a group may be kept that nobody here has asked for; strangers keep no contact out."""
        if self._store.group(group_id) is not None or self._contacts.name_of(sender) is not None:
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

    def _settled(self, group_id: GroupId, epoch: OperationId) -> None:
        room = self._rooms.get(group_id)
        if room is not None and epoch == room.state.epoch:
            room.settle(epoch)

    def shares_a_group(self, who: NodeId) -> bool:
        """Whether that node is in a group of ours: one broadcast reaches those with whom there are links."""
        return any(
            who in room.state.members
            for room in self._rooms.values()
            if room.group.standing is Standing.MEMBER
        )

    def links(self, group_id: GroupId) -> dict[NodeId, Attachment]:
        """The links to members of a group that this node is in."""
        room = self._rooms.get(group_id)
        if room is None or room.group.standing is not Standing.MEMBER:
            return {}
        found = ((one, self._link_to(one)) for one in sorted(room.state.members))
        return {one: link for one, link in found if link is not None and link.link.up}

    def _is_near(self, who: NodeId) -> bool:
        """Whether there is a link to that node, or a way."""
        link = self._link_to(who)
        return (link is not None and link.link.up) or self._near(who)

    def _members_near(self, group_id: GroupId) -> list[NodeId]:
        """The other members of a group that this node is in, those first to whom there is a way."""
        room = self._rooms.get(group_id)
        if room is None or room.group.standing is not Standing.MEMBER:
            return []
        others = room.state.members - {self._identity.node_id}
        return sorted(others, key=lambda one: (self._link_to(one) is None, not self._near(one), one))

    def fellows(self) -> list[NodeId]:
        """Whoever is or was named in a group of this node."""
        named = dict.fromkeys(one for room in self._rooms.values() for one in sorted(room.log.named()))
        return [one for one in named if one != self._identity.node_id]

    def _letter_s(self, group_id: GroupId) -> float:
        """How long a letter to a member of that group takes here, with what answers it, within the duty
        cycle."""
        profiles = [link.profile for link in self.links(group_id).values()]
        rates = [one.bps * (1 if one.duty_cycle is None else one.duty_cycle) for one in profiles]
        return 8 * _LETTER_SIZE / min(rates) if rates else 0.0

    def epoch_called(self, prefix: bytes) -> tuple[GroupId, tuple[NodeId, ...]] | None:
        """The group and members of the epoch whose id begins so."""
        for room in self._rooms.values():
            epoch = room.log.epoch_called(prefix)
            if epoch is not None:
                return room.group.id, tuple(room.log.members_of(epoch) or ())
        return None

    def author_of(self, prefix: bytes) -> NodeId | None:
        """Who has written a message that is in the inbox."""
        found = self._store.incoming_called(prefix)
        return found[0] if found is not None else None

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
            for at, place in enumerate(places):
                try:
                    self.post.write(sent.group, members[place], [item], now, about=message_id, place=place)
                except StoreFull:
                    self._unwritten.append((message_id, places[at:]))
                    self._arm(now + _FULL_S)
                    break
        self._note_aired()

    def _keep(self, group: GroupId, message_id: MessageId, message: bytes, now_ms: int) -> None:
        """Keep a message for members that were away; without room for it they ask somebody else."""
        try:
            self._store.keep_group_message(
                group, HeldMessage(message_id, message, now_ms), most=GROUP_KEPT_MAX
            )
        except StoreFull:
            self._counters["group_messages_not_kept"] += 1

    def _failed(self, group_id: GroupId, message_id: MessageId) -> None:
        """A message that waited for its key will not be read (M6)."""
        group = self._store.group(group_id)
        self._counters["group_messages_failed"] += 1
        name = group.name if group is not None else group_id.hex()
        self._emit("group_message_failed", {"group": name, "id": message_id.hex()})

    def _note_aired(self) -> None:
        """What is under way on the air is known after a crash."""
        noted = b"".join(dict.fromkeys([*self.air.under_way, *self.flood.under_way]))
        if noted != (self._store.get_meta(AIRED) or b""):
            self._store.set_meta(AIRED, noted)

    def _rewrite(self, now: float) -> None:
        """Nobody asks any more who has heard what an earlier run broadcast: letters bring it to the rest."""
        noted = self._store.get_meta(AIRED) or b""
        for at in range(0, len(noted), OBJECT_ID_SIZE):
            message_id = MessageId(noted[at : at + OBJECT_ID_SIZE])
            lacking = [
                place
                for place, state, _ in self._store.deliveries(message_id)
                if not state.final and not self.post.has_letter(message_id, place)
            ]
            self._unwritten.append((message_id, lacking))

    def state_of(self, message_id: MessageId) -> State | None:
        """How far a message of ours to a group has come, None for any other."""
        return self.post.state_of(message_id) if self._store.sent(message_id) is not None else None

    def members_at(self, sent: SentMessage) -> dict[int, Address]:
        """Whom a message was for, by their places."""
        room = self._rooms.get(sent.group)
        members = room.log.members_of(sent.epoch) if room is not None else None
        return {place: address_of(one) for place, one in enumerate(members or ())}

    def _time(self, now: float) -> int:
        return self._wall.ms(now) // 1000 if self._wall.trusted(now) else 0


def message_id_of(group: GroupId, message: bytes) -> MessageId:
    return MessageId(describe(KIND_GROUP_MESSAGE, group + message)[0].id)
