"""Files attached to messages of groups: sealed once, fetched by each member from its author or from any other
member that has them (N11, N13, docs/protocol/group.md "Files")."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from struct import Struct

from blake3 import blake3

from nexus_node.base.errors import BadWire, StoreCorrupt
from nexus_node.base.ids import OBJECT_ID_SIZE, Address, MessageId, NodeId, ObjectId
from nexus_node.base.limits import MESSAGE_TTL_S
from nexus_node.base.rng import Rng
from nexus_node.base.states import State
from nexus_node.crypto.address import address_of
from nexus_node.crypto.filestream import file_receipt
from nexus_node.crypto.vault import Vault
from nexus_node.engine.attach import SealedFile
from nexus_node.engine.events import Emit
from nexus_node.engine.fetching import Fetcher
from nexus_node.engine.group_post import GroupPost
from nexus_node.engine.serving import Served
from nexus_node.ports.store import Expected, Store, StoredObject
from nexus_node.wire.description import Description, encode_descriptions, parse_descriptions_untrusted
from nexus_node.wire.group import ID_SIZE, GroupId
from nexus_node.wire.groupitem import HaveFile
from nexus_node.wire.routing import PREFIX_SIZE
from nexus_node.wire.transfer import Offer

_SENT = "group.files."
"""A small fact by message of ours: its descriptions, sealed."""
_FILE = "group.file."
"""The same by prefix of an object: the group whose members may have it."""
_AWAITED = "group.awaited"
"""Messages with files that are on their way here."""
_AWAITED_MAX = 64
_AGAIN_S, _AGAIN_MAX_S = 60.0, 3600.0
_OTHERS = 2
"""Members asked beside the author, each time others."""
_BANDWIDTH = Struct("<I")


@dataclass(slots=True)
class _Awaited:
    """A file on its way here."""

    group: GroupId
    author: NodeId
    file: Description
    due: float
    tries: int = 0


class GroupFiles:
    """The files of all groups of one node."""

    def __init__(
        self,
        store: Store,
        vault: Vault,
        rng: Rng,
        post: GroupPost,
        *,
        fetcher: Callable[[], Fetcher],
        members: Callable[[GroupId], list[NodeId]],
        emit: Emit,
        arm: Callable[[float], None],
    ) -> None:
        """`members`: those of a group that this node is in, whoever is near first."""
        self._store = store
        self._vault = vault
        self._rng = rng
        self._post = post
        self._fetcher = fetcher
        self._members = members
        self._emit = emit
        self._arm = arm
        self._awaited: dict[tuple[MessageId, ObjectId], _Awaited] = {}

    # --- of ours --------------------------------------------------------------------------------
    def attach(
        self,
        message_id: MessageId,
        group: GroupId,
        files: Sequence[SealedFile],
        places: list[int],
        now_ms: int,
    ) -> None:
        """Keep the files of a message that is being sent. Raises StoreFull."""
        descriptions = [file.description for file in files]
        for file in files:
            header = file.header
            expires_ms = now_ms + MESSAGE_TTL_S * 1000
            stored = StoredObject(header.id, header.kind, header.size, header.root, now_ms, expires_ms)
            self._store.put_object(stored, file.chunks)
            self._note(file.description, group)
            self._store.expect_delivery(group, about_of(message_id, header.id), places, now_ms)
        body = self._vault.seal(encode_descriptions(descriptions), self._rng, message_id)
        self._store.set_meta(_SENT + message_id.hex(), body)

    def of(self, message_id: MessageId) -> list[Description]:
        """The files of a message of ours."""
        body = self._store.get_meta(_SENT + message_id.hex())
        if not body:
            return []
        try:
            return parse_descriptions_untrusted(self._vault.open(body, message_id))[0]
        except (StoreCorrupt, BadWire):
            return []

    def state_of(self, message_id: MessageId) -> State | None:
        """How far the files of a message have come to that member to whom they have come least far."""
        states = [
            state
            for file in self.of(message_id)
            for _, state, _ in self._store.deliveries(about_of(message_id, file.object))
        ]
        return min(states, key=lambda state: state.rank, default=None)

    def _note(self, file: Description, group: GroupId) -> None:
        value = group + file.object + _BANDWIDTH.pack(min(file.min_bandwidth, 0xFFFFFFFF))
        self._store.set_meta(_FILE + file.object[:PREFIX_SIZE].hex(), value)

    def served(self, prefix: bytes, asker: Address) -> Served | None:
        """The file with that prefix, if all of it is here and who asks is a member."""
        value = self._store.get_meta(_FILE + prefix.hex())
        if not value:
            return None
        group, object_id = GroupId(value[:ID_SIZE]), ObjectId(value[ID_SIZE : ID_SIZE + OBJECT_ID_SIZE])
        stored = self._store.get_object(object_id)
        if stored is None or not stored.complete:
            return None
        if all(address_of(one) != asker for one in self._members(group)):
            return None
        return Served(self._store, object_id, _BANDWIDTH.unpack_from(value, ID_SIZE + OBJECT_ID_SIZE)[0])

    # --- of others ------------------------------------------------------------------------------
    def expect(
        self, message_id: MessageId, group: GroupId, author: NodeId, files: list[Description], now: float
    ) -> None:
        """A message that was read has these: fetch them."""
        for file in files:
            receipt = file_receipt(file.key, file.object)
            self._store.expect(Expected(file.object, message_id, author, file.min_bandwidth, receipt))
            self._note(file, group)
            self._await(message_id, group, author, file, now)
        noted = self._store.get_meta(_AWAITED) or b""
        if files and message_id not in _split(noted):
            self._store.set_meta(_AWAITED, (noted + message_id)[-_AWAITED_MAX * OBJECT_ID_SIZE :])

    def take_up(
        self,
        described: Callable[[MessageId], tuple[GroupId, NodeId, list[Description]] | None],
        now: float,
    ) -> None:
        """Go on with what an earlier run awaited."""
        for message_id in _split(self._store.get_meta(_AWAITED) or b""):
            found = described(message_id)
            if found is not None:
                for file in found[2]:
                    self._await(message_id, found[0], found[1], file, now)

    def _await(
        self, message_id: MessageId, group: GroupId, author: NodeId, file: Description, now: float
    ) -> None:
        self._awaited[message_id, file.object] = _Awaited(group, author, file, now)
        self._arm(now)

    def expire(self, now: float, now_ms: int) -> None:
        for key, one in list(self._awaited.items()):
            if one.due <= now:
                self._fetch(key, one, now, now_ms)
        for one in self._awaited.values():
            self._arm(one.due)

    def _fetch(self, key: tuple[MessageId, ObjectId], one: _Awaited, now: float, now_ms: int) -> None:
        """Ask the author, and later others beside it; the fetcher waits for a way that is wide enough."""
        one.due = now + min(_AGAIN_S * 2.0**one.tries, _AGAIN_MAX_S)
        members = self._members(one.group)
        others = [who for who in members if who != one.author]
        asked = [one.author] if one.author in members else []
        if one.tries and others:
            first = _OTHERS * (one.tries - 1) % len(others)
            asked += (others + others)[first : first + min(_OTHERS, len(others))]
        elif not asked:
            asked = others[:_OTHERS]
        one.tries = min(one.tries + 1, 64)

        def done(now: float) -> None:
            self._arrived(key, one, now_ms, now)

        for who in asked:
            if key in self._awaited:
                offer = Offer(one.file.header, one.file.min_bandwidth, address_of(who))
                self._fetcher().begin(
                    who, offer, one.file.min_bandwidth, now_ms, now, done, store=self._store
                )

    def _arrived(self, key: tuple[MessageId, ObjectId], one: _Awaited, now_ms: int, now: float) -> None:
        """All of a file is here: its author is told, and others may have it from here."""
        object_id = key[1]
        self._store.arrived(object_id, now_ms)
        for other in [pair for pair in self._awaited if pair[1] == object_id]:
            awaited = self._awaited.pop(other)
            item = HaveFile(awaited.group, other[0], object_id[:PREFIX_SIZE])
            self._post.write(awaited.group, awaited.author, [item], now)
            if all(pair[0] != other[0] for pair in self._awaited):
                left = [one for one in _split(self._store.get_meta(_AWAITED) or b"") if one != other[0]]
                self._store.set_meta(_AWAITED, b"".join(left))
        self._emit("file_received", {"object": object_id.hex(), "from": address_of(one.author).hex()})


def about_of(message_id: MessageId, object_id: ObjectId) -> bytes:
    """What the deliveries of a file of a message are kept under."""
    return blake3(message_id + object_id).digest()


def _split(data: bytes) -> list[MessageId]:
    return [MessageId(data[at : at + OBJECT_ID_SIZE]) for at in range(0, len(data), OBJECT_ID_SIZE)]
