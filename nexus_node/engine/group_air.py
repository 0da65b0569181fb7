"""Messages of groups on shared media: sealed once, broadcast once to all members in range, and who has them
asked once for all that were sent (N11, docs/protocol/group.md "On the air").

Members farther away, or that do not answer, get letters.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from weakref import WeakKeyDictionary

from nexus_node.base.errors import BadWire
from nexus_node.base.ids import Address, MessageId, NodeId
from nexus_node.base.rng import Rng
from nexus_node.crypto.address import address_of
from nexus_node.crypto.envelope import SharedSecrets
from nexus_node.crypto.identity import Identity
from nexus_node.engine.medium import Medium
from nexus_node.engine.peers import Attachment
from nexus_node.wire.frames import ItemKind, ItemPacker
from nexus_node.wire.groupitem import GroupItem, encode_group_items
from nexus_node.wire.packet import Context, Packet
from nexus_node.wire.routing import PREFIX_SIZE, parse_prefixes_untrusted

_MEMBERS_MIN = 2
"""In range of one medium: for one a letter is cheaper than to ask whether it has heard a broadcast."""
CHECK_S = 30.0
"""So long after the last broadcast it is asked who has heard what."""
_ROUNDS = 2
"""Broadcasts of a message before those who lack it get letters."""
_PROOF_SIZE = 16
_REPLY_SIZE = 80
_CHECKED_MAX = 16


@dataclass(slots=True)
class _Aired:
    """A message on one medium, and the members there that have not said that they have it."""

    message_id: MessageId
    medium: Medium
    packet: bytes
    lacking: dict[NodeId, int]
    """With their places in the epoch."""
    rounds: int = 0
    due: float = 0.0
    """When to see whether it can still go, to ask who has it, or, once asked, when the answers are over."""
    queued: bool = True
    """Whether it waits for the air."""
    asked: bool = False


@dataclass(slots=True)
class _Reply:
    """What this node is about to say that it has."""

    due: float
    prefixes: list[bytes] = field(default_factory=list)


class GroupAir:
    """Broadcasts, the question who has them, and the answers."""

    def __init__(
        self,
        identity: Identity,
        rng: Rng,
        *,
        link_to: Callable[[NodeId], Attachment | None],
        has: Callable[[bytes], bool],
        delivered: Callable[[MessageId, int, NodeId, float], None],
        write: Callable[[MessageId, list[int], float], None],
        stir: Callable[[Medium], None],
        wake: Callable[[Attachment], None],
        arm: Callable[[float], None],
        counters: Counter[str],
    ) -> None:
        """Args:
        has: whether the message whose id begins so is here.
        delivered: told of a member that has a message.
        write: sends a message in letters to the members at those places.
        stir: there is something for all on that medium.
        """
        self._identity = identity
        self._rng = rng
        self._secrets = SharedSecrets(identity)
        self._link_to = link_to
        self._has = has
        self._delivered = delivered
        self._write = write
        self._stir = stir
        self._wake = wake
        self._arm = arm
        self._counters = counters
        self._queues: WeakKeyDictionary[Medium, list[tuple[bytes, list[_Aired]]]] = WeakKeyDictionary()
        """What is to be broadcast, by medium, and goes with it: packets, and the messages whose they are."""
        self._aired: list[_Aired] = []
        self._replies: dict[NodeId, _Reply] = {}
        self.promised = False
        """Whether something is queued that must not leave before the store has committed."""

    # --- out ------------------------------------------------------------------------------------
    def in_range(self, members: dict[NodeId, int]) -> dict[int, tuple[Medium, dict[NodeId, int]]]:
        """Those of the members whom one broadcast reaches, by medium."""
        found: dict[int, tuple[Medium, dict[NodeId, int]]] = {}
        for one, place in members.items():
            link = self._link_to(one)
            if link is not None and link.medium is not None and link.link.up:
                found.setdefault(link.medium.cid, (link.medium, {}))[1][one] = place
        return {cid: pair for cid, pair in found.items() if len(pair[1]) >= _MEMBERS_MIN}

    def message(
        self, message_id: MessageId, item: GroupItem, members: dict[NodeId, int], now: float
    ) -> set[NodeId]:
        """Broadcast a message of ours; those of the members that are so taken care of."""
        taken: set[NodeId] = set()
        packet = _packet(item)
        for medium, here in self.in_range(members).values():
            if len(packet) >= medium.room:
                continue
            aired = _Aired(message_id, medium, packet, here)
            self._aired.append(aired)
            self._send(aired, now)
            taken |= here.keys()
        return taken

    def operations(self, item: GroupItem, members: dict[NodeId, int]) -> set[NodeId]:
        """Broadcast operations; those of the members that need no letter with them. Who misses them asks."""
        taken: set[NodeId] = set()
        packet = _packet(item)
        for medium, here in self.in_range(members).values():
            if len(packet) < medium.room:
                self._broadcast(medium, packet, [])
                taken |= here.keys()
        return taken

    def _send(self, aired: _Aired, now: float) -> None:
        aired.queued, aired.due = True, now + CHECK_S
        self._arm(aired.due)
        self._broadcast(aired.medium, aired.packet, [aired])

    def _take_back(self, aired: _Aired) -> None:
        """It will not be broadcast."""
        queue = self._queues.get(aired.medium, [])
        queue[:] = [one for one in queue if aired not in one[1]]

    def _broadcast(self, medium: Medium, packet: bytes, aired: list[_Aired]) -> None:
        self._queues.setdefault(medium, []).append((packet, aired))
        self.promised = True
        self._stir(medium)

    def has_broadcasts(self, medium: Medium) -> bool:
        return bool(self._queues.get(medium))

    def fill_broadcast(self, medium: Medium, packer: ItemPacker, now: float) -> None:
        """Put what waits for all on a medium into a frame."""
        queue = self._queues.get(medium, [])
        while queue and len(queue[0][0]) <= packer.left:
            packet, messages = queue.pop(0)
            packer.add(ItemKind.PACKET, packet)
            for aired in messages:
                self._counters["group_broadcasts"] += 1
                aired.rounds += 1
                aired.queued = aired.asked = False
                aired.due = now + CHECK_S + window(medium)
                self._arm(aired.due)
        if not queue:
            self._queues.pop(medium, None)

    @property
    def under_way(self) -> list[MessageId]:
        """Messages that some in range have not said that they have."""
        return list(dict.fromkeys(one.message_id for one in self._aired))

    # --- who has it -----------------------------------------------------------------------------
    def take_check(self, peer: NodeId, packet: Packet, now: float) -> None:
        """A neighbour asks who has these messages; the answer waits a random while. Raises BadWire."""
        link = self._link_to(peer)
        if link is None or link.medium is None:
            return
        ours = [one for one in parse_prefixes_untrusted(packet.data, _CHECKED_MAX) if self._has(one)]
        if ours:
            part = int.from_bytes(self._rng.random_bytes(2), "little") / 65536
            reply = self._replies.setdefault(peer, _Reply(now + part * window(link.medium)))
            reply.prefixes += [one for one in ours if one not in reply.prefixes]
            self._arm(reply.due)

    def take_have(self, peer: NodeId, packet: Packet, now: float) -> None:
        """A member has these messages of ours. Raises BadWire."""
        proof, data = packet.data[:_PROOF_SIZE], packet.data[_PROOF_SIZE:]
        prefixes = parse_prefixes_untrusted(data, _CHECKED_MAX)
        if proof != have_proof(self._secrets, peer, address_of(peer), data):
            raise BadWire("forged_receipt")
        for aired in self._aired:
            if aired.message_id[:PREFIX_SIZE] in prefixes and peer in aired.lacking:
                self._delivered(aired.message_id, aired.lacking.pop(peer), peer, now)
        self._aired = [one for one in self._aired if one.lacking]

    # --- time -----------------------------------------------------------------------------------
    @property
    def any(self) -> bool:
        """Whether anything is under way."""
        return bool(self._aired or self._replies)

    def expire(self, now: float) -> None:
        for peer in [peer for peer, reply in self._replies.items() if reply.due <= now]:
            self._reply(peer, self._replies.pop(peer))
        over = [aired for aired in self._aired if aired.due <= now]
        for aired in [one for one in over if one.queued or one.asked]:
            if not self._reaches(aired) or (aired.asked and aired.rounds >= _ROUNDS):
                self._take_back(aired)
                self._aired.remove(aired)
                self._write(aired.message_id, list(aired.lacking.values()), now)
            elif aired.queued:  # the radio may not send so much just now
                aired.due = now + CHECK_S
            else:
                self._send(aired, now)
        gone = [one for one in over if not (one.queued or one.asked)]
        for medium in {one.medium.cid: one.medium for one in gone}.values():
            self._check(medium, [one for one in gone if one.medium is medium], now)
        for due in [*(one.due for one in self._aired), *(one.due for one in self._replies.values())]:
            self._arm(due)

    def _reaches(self, aired: _Aired) -> bool:
        """Whether a broadcast still reaches some who lack it: its medium may have been taken away."""
        return aired.medium.cid in self.in_range(aired.lacking)

    def _check(self, medium: Medium, messages: list[_Aired], now: float) -> None:
        for at in range(0, len(messages), _CHECKED_MAX):
            batch = messages[at : at + _CHECKED_MAX]
            data = b"".join(dict.fromkeys(one.message_id[:PREFIX_SIZE] for one in batch))
            self._broadcast(medium, Packet(Context.GROUP_CHECK, data).encode(), [])
            for one in batch:
                one.asked, one.due = True, now + CHECK_S + window(medium)

    def _reply(self, peer: NodeId, reply: _Reply) -> None:
        link = self._link_to(peer)
        if link is None or not link.link.up:
            return
        data = b"".join(reply.prefixes[:_CHECKED_MAX])
        proof = have_proof(self._secrets, peer, self._identity.address, data)
        link.link.queue(ItemKind.PACKET, Packet(Context.GROUP_HAVE, proof + data).encode())
        self.promised = True
        self._wake(link)


def window(medium: Medium) -> float:
    """How long it takes until all in range have answered."""
    return 2 * (medium.heard + 1) * 8 * _REPLY_SIZE / medium.profile.bps


def _packet(item: GroupItem) -> bytes:
    return Packet(Context.GROUP, encode_group_items([item])).encode()


def have_proof(secrets: SharedSecrets, peer: NodeId, reporter: Address, prefixes: bytes) -> bytes:
    """What only this node and that one can make: one of them, `reporter`, has these messages."""
    key = secrets.with_node(peer)
    proof = blake2b(reporter + prefixes, key=key, digest_size=_PROOF_SIZE, person=b"nexus grp have")
    return proof.digest()
