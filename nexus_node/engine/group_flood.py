"""Messages of groups over several hops: members that hear one pass it on, once for all around them, and tell
the sender together who has it (N11, docs/protocol/group.md "Farther than one hop").

Who is not reached so gets letters.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from math import inf
from weakref import WeakKeyDictionary

from nexus_node.base.ids import Address, MessageId, NodeId
from nexus_node.base.rng import Rng
from nexus_node.crypto.address import address_of
from nexus_node.crypto.envelope import SharedSecrets
from nexus_node.crypto.identity import Identity
from nexus_node.engine.group_air import CHECK_S, window
from nexus_node.engine.medium import Medium
from nexus_node.engine.peers import Attachment
from nexus_node.wire.frames import ItemKind, ItemPacker
from nexus_node.wire.group import GroupId
from nexus_node.wire.groupfar import (
    CHECKED_MAX,
    ENTRY_SIZE,
    PROOF_SIZE,
    FarCheck,
    FarHave,
    encode_far_haves,
    parse_far_check_untrusted,
    parse_far_haves_untrusted,
)
from nexus_node.wire.groupitem import GroupItem, Operations, encode_group_items
from nexus_node.wire.packet import Context, Packet
from nexus_node.wire.routing import PREFIX_SIZE, parse_prefixes_untrusted

_HOPS = 16
_COPIES = 2
"""Neighbours no nearer to the sender that were heard passing something on: the others around here and beyond
have heard one of them. Those it came from do not count: they do not reach whom this node reaches."""
_ROUNDS = 3
"""Times that it is asked who has a message, before the rest get letters."""
_WINDOWS = 6
"""A question and its answers cross some hops: in so many windows of no answer none is coming."""
_WINDOW_FAST_S = 0.5
"""Of a link that is no shared medium."""
_WANT_AGAIN_S = 10.0
_SEEN_MAX, _KEPT_MAX, _INQUIRIES_MAX, _QUEUED_MAX = 512, 64, 64, 64
_ANSWERS_MAX = 4
"""Different answers of one member that are passed on: it has more of what is asked for each time."""
_HAVES_HEAD = 16
_GOES_WITHIN_S = 900.0
"""What has not gone by then, because a radio may not send so much, is asked about all the same."""


@dataclass(slots=True)
class _Far:
    """A message of ours on its way, and the members that have not said that they have it."""

    message_id: MessageId | None
    """None for operations, of which nobody says that it has them; who lacks them notices the question."""
    prefix: bytes
    group: GroupId
    epoch: bytes
    key: bytes
    lacking: dict[NodeId, int]
    due: float
    """When to ask who has it, or what to do about those who have not answered."""
    gone: bool = False
    """Whether it has been on the air."""
    rounds: int = 0


@dataclass(slots=True)
class _Passing:
    """What was heard, and who has passed it on that is no nearer to its sender than this node."""

    hops: int
    """That it had left when it was heard first."""
    by: set[NodeId] = field(default_factory=set)

    def enough(self, peer: NodeId, hops: int) -> bool:
        """A neighbour was heard with it: whether this node need not pass it on."""
        if hops < self.hops:
            self.by.add(peer)
        return len(self.by) >= _COPIES


@dataclass(slots=True)
class _Inquiry:
    """Somebody's question, and what is known here of the answer."""

    check: FarCheck
    group: GroupId
    packet: Packet
    place: int
    peers: list[NodeId]
    """Who was heard with it; the first passes answers on towards the sender."""
    passing: _Passing
    pass_at: float
    reply_at: float = inf
    said: int = 0
    """What this node has said that it has."""
    wanted_at: float = -inf
    entries: dict[int, set[int]] = field(default_factory=dict)
    """Answers of others that were taken in, by place: only who asked can tell the true from the false."""
    pending: list[FarHave] = field(default_factory=list)


class GroupFlood:
    """What is passed on for groups of this node, the question who has it, and the answers."""

    def __init__(
        self,
        identity: Identity,
        rng: Rng,
        *,
        links: Callable[[GroupId], dict[NodeId, Attachment]],
        via: Callable[[NodeId], tuple[NodeId, bool] | None],
        epoch: Callable[[bytes], tuple[GroupId, tuple[NodeId, ...]] | None],
        has: Callable[[bytes], bool],
        author: Callable[[bytes], NodeId | None],
        delivered: Callable[[MessageId, int, NodeId, float], None],
        write: Callable[[MessageId, list[int], float], None],
        stir: Callable[[Medium], None],
        wake: Callable[[Attachment], None],
        arm: Callable[[float], None],
        counters: Counter[str],
    ) -> None:
        """Args:
        links: the links to members of a group.
        via: the neighbour that a known way to a node begins with, and whether that way is narrow.
        epoch: the group and members of an epoch by the beginning of its id.
        has, author: whether the message whose id begins so is here, and who has written it.
        delivered, write, stir: as of `GroupAir`.
        """
        self._identity = identity
        self._rng = rng
        self._secrets = SharedSecrets(identity)
        self._links = links
        self._via = via
        self._epoch = epoch
        self._has = has
        self._author = author
        self._delivered = delivered
        self._write = write
        self._stir = stir
        self._wake = wake
        self._arm = arm
        self._counters = counters
        self._queues: WeakKeyDictionary[Medium, OrderedDict[bytes, bytes]] = WeakKeyDictionary()
        """Packets to be broadcast, by medium and key; they go with it."""
        self._later: list[tuple[float, Medium, bytes, Packet]] = []
        """What is to be so from a time on."""
        self._seen: OrderedDict[bytes, _Passing] = OrderedDict()
        """What was heard or is ours."""
        self._kept: OrderedDict[bytes, tuple[GroupId, bytes, float]] = OrderedDict()
        """Messages by prefix, as they are passed on, and when they were last broadcast on request."""
        self._far: list[_Far] = []
        self._asked: OrderedDict[bytes, FarCheck] = OrderedDict()
        """Questions of ours."""
        self._inquiries: OrderedDict[bytes, _Inquiry] = OrderedDict()
        self.promised = False
        """Whether something is queued that must not leave before the store has committed."""

    # --- out ------------------------------------------------------------------------------------
    def message(
        self,
        message_id: MessageId,
        group: GroupId,
        epoch: bytes,
        item: GroupItem,
        members: dict[NodeId, int],
        now: float,
    ) -> set[NodeId]:
        """Send a message of ours so; those of the members that are so taken care of, none if all are near."""
        exits, taken = self._reach(group, set(members))
        packet = _packet(item)
        if not taken or not all(_fits(one, packet.encode()) for one in exits):
            return set()
        key = self._own(packet)
        lacking = {one: members[one] for one in sorted(taken)}  # a set's order differs from run to run
        far = _Far(message_id, message_id[:PREFIX_SIZE], group, epoch, key, lacking, now)
        self._begin(far, packet, exits, now)
        return taken

    def operations(self, item: Operations, epoch: bytes, members: set[NodeId], now: float) -> set[NodeId]:
        """The same with operations; `epoch` is one that members know of without them."""
        exits, taken = self._reach(item.group, members)
        packet = _packet(item)
        if not taken or not all(_fits(one, packet.encode()) for one in exits):
            return set()
        key = self._own(packet)
        self._begin(_Far(None, key, item.group, epoch, key, {}, now), packet, exits, now)
        return taken

    def _begin(self, far: _Far, packet: Packet, exits: list[Medium | Attachment], now: float) -> None:
        self._keep(far.prefix, far.group, packet)
        on_air = any(isinstance(one, Medium) for one in exits)
        far.due = now + (_GOES_WITHIN_S if on_air else CHECK_S)
        self._far.append(far)
        self._arm(far.due)
        self.promised = True
        for one in exits:
            self._put(one, far.key, packet)

    def _here(self, prefix: bytes) -> bool:
        """Whether what a question names is here: a message, or operations as they are passed on."""
        return prefix in self._kept or self._has(prefix)

    def _reach(self, group: GroupId, members: set[NodeId]) -> tuple[list[Medium | Attachment], set[NodeId]]:
        """Where to send what members beyond others are to have, and whom it is expected to reach. Nothing if
        there is nobody like that."""
        near = self._links(group)
        on_air = {one for one, link in near.items() if link.medium is not None}
        exits: dict[int, Medium | Attachment] = {}
        far: set[NodeId] = set()
        for one in sorted(members - near.keys()):
            way = self._via(one)
            if (way is None and on_air) or (way is not None and way[0] in on_air):
                far.add(one)
            elif way is not None and way[0] in near and way[1]:
                far.add(one)
                exits[near[way[0]].cid] = near[way[0]]
        if not far:
            return [], set()
        taken = far | {one for one in members if one in on_air or (one in near and near[one].cid in exits)}
        for one in sorted(on_air):
            medium = near[one].medium
            if medium is not None:
                exits[medium.cid] = medium
        return list(exits.values()), taken

    def _own(self, packet: Packet) -> bytes:
        key = _key(packet)
        self._note(key, packet.hops)
        return key

    def _note(self, key: bytes, hops: int) -> _Passing:
        passing = self._seen.setdefault(key, _Passing(hops))
        self._seen.move_to_end(key)
        if len(self._seen) > _SEEN_MAX:
            self._seen.popitem(last=False)
        return passing

    def _drop(self, key: bytes) -> None:
        """It need not be passed on any more."""
        self._later = [one for one in self._later if one[2] != key]
        for queue in self._queues.values():
            queue.pop(key, None)

    def _keep(self, prefix: bytes, group: GroupId, packet: Packet) -> None:
        self._kept[prefix] = group, packet.data, -inf
        if len(self._kept) > _KEPT_MAX:
            self._kept.popitem(last=False)

    def _put(self, way: Medium | Attachment, key: bytes, packet: Packet) -> None:
        data = packet.encode()
        if isinstance(way, Attachment):
            self._counters["group_passed"] += 1
            way.link.queue(ItemKind.PACKET, data)
            self._wake(way)
            return
        queue = self._queues.setdefault(way, OrderedDict())
        if len(queue) < _QUEUED_MAX:
            queue[key] = data
            self._stir(way)

    def _spread(self, group: GroupId, key: bytes, packet: Packet, without: NodeId | None, now: float) -> None:
        """Pass a packet on to all members around but whom it came from. Who is far from that one is the first
        to broadcast it: it reaches most that others do not."""
        ways: dict[int, Medium | Attachment] = {}
        links = self._links(group)
        for one, link in links.items():
            if one != without:
                ways[link.medium.cid if link.medium is not None else link.cid] = link.medium or link
        heard = None if without is None else links.get(without)
        for way in ways.values():
            if not _fits(way, packet.encode()):
                continue
            if isinstance(way, Medium) and heard is not None and heard.medium is way:
                due = now + _nearness(heard, way) * window(way)
                self._later.append((due, way, key, packet))
                self._arm(due)
            else:
                self._put(way, key, packet)

    def has_broadcasts(self, medium: Medium) -> bool:
        return bool(self._queues.get(medium))

    def fill_broadcast(self, medium: Medium, packer: ItemPacker, now: float) -> None:
        """Put what waits for all on a medium into a frame."""
        queue = self._queues.get(medium)
        while queue:
            size = len(next(iter(queue.values())))
            fits = size <= medium.room  # a neighbour with smaller frames may have come since it was queued
            if fits and size > packer.left:
                break
            key, data = queue.popitem(last=False)
            if fits:
                packer.add(ItemKind.PACKET, data)
                self._counters["group_passed"] += 1
            for far in self._far:
                if far.key == key and not far.gone:
                    far.gone = True
                    far.due = now + CHECK_S + window(medium)
                    self._arm(far.due)
        if not queue:
            self._queues.pop(medium, None)

    @property
    def under_way(self) -> list[MessageId]:
        """Messages that some have not said that they have."""
        return [one.message_id for one in self._far if one.message_id is not None]

    # --- in -------------------------------------------------------------------------------------
    def is_first(self, peer: NodeId, packet: Packet) -> bool:
        """Whether that was not heard before. Heard often enough, it need not be passed on."""
        key = _key(packet)
        first = key not in self._seen
        if self._note(key, packet.hops).enough(peer, packet.hops):
            self._drop(key)
        return first

    def pass_on(
        self, peer: NodeId, group: GroupId, packet: Packet, message_id: MessageId | None, now: float
    ) -> None:
        """What was heard first is good: others are to have it as well."""
        prefix = message_id[:PREFIX_SIZE] if message_id is not None else _key(packet)
        self._keep(prefix, group, packet)
        self._arrived(prefix, now)
        if packet.hops > 1:
            onward = Packet(packet.context, packet.data, hops=packet.hops - 1)
            self._spread(group, _key(packet), onward, peer, now)

    def take_want(self, peer: NodeId, packet: Packet, now: float) -> None:
        """A neighbour lacks messages. Raises BadWire."""
        for prefix in parse_prefixes_untrusted(packet.data, CHECKED_MAX):
            group, data, last = self._kept.get(prefix, (None, b"", -inf))
            link = self._links(group).get(peer) if group is not None else None
            if group is None or link is None or now < last + _WANT_AGAIN_S:
                continue
            self._kept[prefix] = group, data, now
            again = Packet(Context.GROUP_FAR, data, hops=_HOPS)
            if _fits(link.medium or link, again.encode()):
                self._put(link.medium or link, prefix, again)

    # --- who has it -----------------------------------------------------------------------------
    def take_check(self, peer: NodeId, packet: Packet, now: float) -> None:
        """Somebody asks who has messages: it is passed on, and the answer goes back. Raises BadWire."""
        check = parse_far_check_untrusted(packet.data)
        inquiry = self._inquiries.get(check.id)
        if inquiry is not None:
            if peer not in inquiry.peers:
                inquiry.peers.append(peer)
            if inquiry.passing.enough(peer, packet.hops):
                inquiry.pass_at = inf
                self._drop(check.id)
            self._ask_for_missing(inquiry, peer, now)
            return
        found = self._epoch(check.epoch)
        if check.id in self._asked or found is None or self._identity.node_id not in found[1]:
            return
        group, members = found
        link = self._links(group).get(peer)
        if link is None:
            return
        place = members.index(self._identity.node_id)
        inquiry = _Inquiry(check, group, packet, place, [peer], _Passing(packet.hops), now)
        self._inquiries[check.id] = inquiry
        if len(self._inquiries) > _INQUIRIES_MAX:
            self._inquiries.popitem(last=False)
        if self._ask_for_missing(inquiry, peer, now):
            inquiry.pass_at = now + 2 * self._window(
                link
            )  # those beyond cannot have it sooner than this node
        self._reply_soon(inquiry, link, now)
        self._arm(inquiry.pass_at)

    def _ask_for_missing(self, inquiry: _Inquiry, peer: NodeId, now: float) -> bool:
        """Ask a neighbour that passes a question on for what it names and is not here, if there is such."""
        missing = [one for one in inquiry.check.prefixes if not self._here(one)]
        link = self._links(inquiry.group).get(peer)
        if missing and link is not None and now >= inquiry.wanted_at + _WANT_AGAIN_S:
            inquiry.wanted_at = now
            self._counters["group_wanted"] += 1
            link.link.queue(ItemKind.PACKET, Packet(Context.GROUP_WANT, b"".join(missing)).encode())
            self._wake(link)
        return bool(missing)

    def _arrived(self, prefix: bytes, now: float) -> None:
        for inquiry in self._inquiries.values():
            if prefix not in inquiry.check.prefixes:
                continue
            link = self._links(inquiry.group).get(inquiry.peers[0])
            if link is not None:
                self._reply_soon(inquiry, link, now)
            if inquiry.pass_at != inf and all(self._here(one) for one in inquiry.check.prefixes):
                inquiry.pass_at = now
                self._arm(now)

    def _reply_soon(self, inquiry: _Inquiry, link: Attachment, now: float) -> None:
        if inquiry.reply_at == inf:
            part = int.from_bytes(self._rng.random_bytes(2), "little") / 65536
            inquiry.reply_at = now + part * self._window(link)
            self._arm(inquiry.reply_at)

    @staticmethod
    def _window(link: Attachment) -> float:
        return window(link.medium) if link.medium is not None else _WINDOW_FAST_S

    def take_have(self, peer: NodeId, packet: Packet, now: float) -> None:
        """Members beyond a neighbour have messages. Raises BadWire."""
        check_id, haves = parse_far_haves_untrusted(packet.data)
        check = self._asked.get(check_id)
        if check is not None:
            self._believe(check, haves, now)
            return
        inquiry = self._inquiries.get(check_id)
        if inquiry is None or peer not in self._links(inquiry.group):
            return
        for have in haves:
            asked = have.place in inquiry.check.asked and have.place != inquiry.place
            said = inquiry.entries.setdefault(have.place, set()) if asked else set()
            if asked and have.bits not in said and len(said) < _ANSWERS_MAX:
                said.add(have.bits)
                inquiry.pending.append(have)
        link = self._links(inquiry.group).get(inquiry.peers[0])
        if inquiry.pending and link is not None:
            self._reply_soon(inquiry, link, now)

    def _believe(self, check: FarCheck, haves: list[FarHave], now: float) -> None:
        found = self._epoch(check.epoch)
        members = found[1] if found is not None else ()
        for have in haves:
            if have.place >= len(members):
                continue
            who = members[have.place]
            if have.proof != far_proof(self._secrets, who, address_of(who), check.id, have.bits):
                self._counters["forged_receipt"] += 1
                continue
            for bit, prefix in enumerate(check.prefixes):
                for far in self._far:
                    theirs = have.bits >> bit & 1 and far.prefix == prefix and who in far.lacking
                    if theirs and far.message_id is not None:
                        self._delivered(far.message_id, far.lacking.pop(who), who, now)
                        far.due = max(far.due, now + self._patience(far.group))
        self._far = [one for one in self._far if one.lacking or one.message_id is None]

    def _patience(self, group: GroupId) -> float:
        """After so long without an answer there is none on its way."""
        slowest = max((self._window(one) for one in self._links(group).values()), default=_WINDOW_FAST_S)
        return CHECK_S + _WINDOWS * slowest

    # --- time -----------------------------------------------------------------------------------
    @property
    def any(self) -> bool:
        """Whether anything is under way."""
        return bool(self._far or self._inquiries or self._later)

    def expire(self, now: float) -> None:
        ready = [one for one in self._later if one[0] <= now]
        self._later = [one for one in self._later if one[0] > now]
        for _, medium, key, packet in ready:
            self._put(medium, key, packet)
        due = [far for far in self._far if far.due <= now]
        for far in [one for one in due if one.rounds >= _ROUNDS or not self._links(one.group)]:
            self._far.remove(far)
            if far.message_id is not None:
                self._write(far.message_id, list(far.lacking.values()), now)
        for epoch in dict.fromkeys(one.epoch for one in due):
            self._check([one for one in due if one.epoch == epoch and one in self._far], now)
        for inquiry in self._inquiries.values():
            if inquiry.pass_at <= now:
                inquiry.pass_at = inf
                onward = Packet(inquiry.packet.context, inquiry.packet.data, hops=inquiry.packet.hops - 1)
                if inquiry.packet.hops > 1:
                    self._spread(inquiry.group, inquiry.check.id, onward, inquiry.peers[0], now)
            if inquiry.reply_at <= now:
                inquiry.reply_at = inf
                self._reply(inquiry)
        for at, *_ in self._later:
            self._arm(at)
        for far in self._far:
            self._arm(far.due)
        for inquiry in self._inquiries.values():
            self._arm(min(inquiry.pass_at, inquiry.reply_at))

    def _check(self, messages: list[_Far], now: float) -> None:
        for at in range(0, len(messages), CHECKED_MAX):
            batch = messages[at : at + CHECKED_MAX]
            asked = frozenset(place for one in batch for place in one.lacking.values())
            prefixes = tuple(dict.fromkeys(one.prefix for one in batch))
            check = FarCheck(max(one.rounds for one in batch), batch[0].epoch, asked, prefixes)
            self._asked[check.id] = check
            if len(self._asked) > _INQUIRIES_MAX:
                self._asked.popitem(last=False)
            packet = Packet(Context.GROUP_CHECK_FAR, check.encode(), hops=_HOPS)
            self._spread(batch[0].group, check.id, packet, None, now)
            for one in batch:
                one.rounds += 1
                one.due = now + self._patience(one.group)

    def _reply(self, inquiry: _Inquiry) -> None:
        """Tell what is known of an answer to whom the question came from."""
        links = self._links(inquiry.group)
        link = next((links[one] for one in inquiry.peers if one in links), None)
        if link is None:
            return
        check = inquiry.check
        ours = sum(1 << bit for bit, prefix in enumerate(check.prefixes) if self._has(prefix))
        author = next((one for prefix in check.prefixes if (one := self._author(prefix)) is not None), None)
        if inquiry.place in check.asked and author is not None and ours & ~inquiry.said:
            inquiry.said = ours
            proof = far_proof(self._secrets, author, self._identity.address, check.id, ours)
            inquiry.pending.append(FarHave(inquiry.place, ours, proof))
        room = max(1, (link.link.room - _HAVES_HEAD) // ENTRY_SIZE)
        haves, inquiry.pending = inquiry.pending, []
        for at in range(0, len(haves), room):
            data = encode_far_haves(check.id, haves[at : at + room])
            link.link.queue(ItemKind.PACKET, Packet(Context.GROUP_HAVE_FAR, data).encode())
            self.promised = True
        self._wake(link)


def _packet(item: GroupItem) -> Packet:
    return Packet(Context.GROUP_FAR, encode_group_items([item]), hops=_HOPS)


def _key(packet: Packet) -> bytes:
    return blake2b(packet.data, digest_size=8).digest()


def _fits(way: Medium | Attachment, data: bytes) -> bool:
    room = way.link.room if isinstance(way, Attachment) else way.room
    return len(data) < room


def _nearness(link: Attachment, medium: Medium) -> float:
    """How well a neighbour is heard, from 0 for the faintest here to 1 for the loudest."""
    levels = [one.signal.rssi_dbm for one in medium.links.values() if one.signal is not None]
    if link.signal is None or not levels or max(levels) == min(levels):
        return 0.0
    return (link.signal.rssi_dbm - min(levels)) / (max(levels) - min(levels))


def far_proof(secrets: SharedSecrets, peer: NodeId, reporter: Address, check: bytes, bits: int) -> bytes:
    """What only this node and that one can make: one of them, `reporter`, has those messages of a check."""
    data = reporter + check + bits.to_bytes(2, "little")
    proof = blake2b(data, key=secrets.with_node(peer), digest_size=PROOF_SIZE, person=b"nexus grp far")
    return proof.digest()
