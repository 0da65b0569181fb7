"""Contacts and strangers: whose keys this node knows (N1, N15)."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from enum import IntEnum
from itertools import chain

from nexus_node.base.errors import BadWire, InputError, UnknownContact
from nexus_node.base.foreign import SCHEME, is_foreign, parse_foreign
from nexus_node.base.ids import Address, NodeId
from nexus_node.base.limits import NAME_MAX
from nexus_node.crypto.address import address_of
from nexus_node.crypto.identity import agreement_key_of
from nexus_node.engine.events import Emit
from nexus_node.ports.store import Correspondent, Store
from nexus_node.wire.uri import parse_uri_untrusted


class Rank(IntEnum):
    """How far a node is trusted (N15)."""

    STRANGER = 0
    UNTRUSTED = 1
    """A contact, and no more."""
    TRUSTED = 2
    VERIFIED = 3


TRUST_LEVELS = {rank.name.lower(): rank for rank in Rank if rank is not Rank.STRANGER}
"""What the owner may say of a contact."""
_SEEN_EVERY_MS = 24 * 3600 * 1000
"""A stranger's last sighting is written at most once a day, to spare the disk."""


class Contacts:
    """The correspondents of one node, with the order in which envelopes are tried against them."""

    def __init__(self, store: Store, own: NodeId, emit: Emit) -> None:
        self._store = store
        self._own = own
        self._emit = emit
        self.is_taken: Callable[[str], bool] = lambda name: False
        """Whether a group is called so: `send` must know whom it is for."""
        self.fellows: Callable[[], Iterable[NodeId]] = tuple
        """Members of this node's groups, whose letters need no introduction."""
        self._cached: dict[NodeId, Correspondent] | None = None
        """All correspondents in the store's order, the likeliest sender first; None when it must be read."""
        self._named: dict[str, Correspondent] = {}
        """The contacts among them, by name."""
        self._addressed: dict[Address, Correspondent] = {}
        """The contacts among them, by address."""

    def add(self, name: str, uri: str, now_ms: int) -> Correspondent:
        """Add a contact from its URI. Raises BadUri and InputError with words."""
        if not name or len(name.encode()) > NAME_MAX or not name.isprintable() or name != name.strip():
            raise InputError(
                f"a contact's name is 1 to {NAME_MAX} printable characters; choose another than {name!r}"
            )
        node_id, relays = _read_link(uri)
        if node_id == self._own:
            raise InputError("that link is this node's own; ask the other person for theirs")
        if self.is_taken(name):
            raise InputError(f"there is a group {name!r} already; a contact needs a name of its own")
        taken = self._store.contact(name)
        if taken is not None and taken.node_id != node_id:
            raise InputError(
                f"there is a contact {name!r} already, with another key; choose another name or remove it"
            )
        known = self._store.correspondent(node_id)
        if known is not None and known.name not in (None, name):
            raise InputError(f"you have that node already as {known.name!r}; remove it first to rename it")
        base = known or Correspondent(node_id, address_of(node_id))
        contact = replace(base, name=name, seen_ms=now_ms, relays=relays)
        self._put(contact)
        self._emit("contact_added", {"name": name, "address": contact.address.hex()})
        return contact

    def find(self, name: str | None) -> Correspondent | None:
        """The contact of that name."""
        self._known()
        return self._named.get(name or "")

    def known(self, node_id: NodeId) -> Correspondent | None:
        return self._known().get(node_id)

    def get(self, name: str) -> Correspondent:
        """Raises UnknownContact, which names the nearest one."""
        self._known()
        contact = self._named.get(name)
        if contact is None:
            raise UnknownContact(
                f"there is no contact {name!r}; see: nexus contact list; or add it with its link"
            )
        return contact

    def remove(self, name: str) -> Correspondent:
        """The node stays known as a stranger, so that mail on its way can still be read."""
        contact = self.get(name)
        self._put(replace(contact, name=None, trust="untrusted"))
        self._emit("contact_removed", {"name": name, "address": contact.address.hex()})
        return contact

    def trust(self, name: str, level: str) -> Correspondent:
        """Set how far a contact is trusted (N15). Raises InputError."""
        if level not in TRUST_LEVELS:
            raise InputError(f"trust is one of {', '.join(TRUST_LEVELS)}, not {level!r}")
        contact = self.get(name)
        if is_foreign(contact.node_id) and level != "untrusted":
            raise InputError(f"{name!r} is on Meshtastic and has no key that could be trusted")
        contact = replace(contact, trust=level)
        self._put(contact)
        return contact

    def all(self) -> list[Correspondent]:
        return [one for one in self._store.correspondents() if one.name is not None]

    def name_of(self, node_id: NodeId) -> str | None:
        known = self._known().get(node_id)
        return known.name if known is not None else None

    def by_address(self, address: Address) -> Correspondent | None:
        """The contact with that address."""
        self._known()
        return self._addressed.get(address)

    def rank(self, address: Address) -> Rank:
        """How far the node with that address is trusted."""
        contact = self.by_address(address)
        return TRUST_LEVELS.get(contact.trust, Rank.UNTRUSTED) if contact is not None else Rank.STRANGER

    def relays_of(self, node_id: NodeId) -> tuple[NodeId, ...]:
        """The relays that keep that contact's mail, by its own account; its contact link names them."""
        known = self._known().get(node_id)
        return known.relays if known is not None and known.name is not None else ()

    def met(self, node_id: NodeId, now_ms: int) -> None:
        """That node has proved that it knows our key: from now on envelopes to it are the short ones."""
        known = self._known().get(node_id)
        if known is not None and known.knows_us and now_ms - known.seen_ms < _SEEN_EVERY_MS:
            return
        base = known or Correspondent(node_id, address_of(node_id))
        self._put(replace(base, knows_us=True, seen_ms=now_ms))

    def forgot_us(self, node_id: NodeId) -> Correspondent:
        """That node no longer knows our key: the next envelope introduces us again."""
        known = self._store.correspondent(node_id) or Correspondent(node_id, address_of(node_id))
        changed = replace(known, knows_us=False)
        self._put(changed)
        return changed

    def candidates(self, first: NodeId) -> Iterable[NodeId]:
        """Who may have sealed an envelope to us: `first`, then the others, the likeliest first."""
        known = self._known()
        fellows = (one for one in self.fellows() if one not in known)
        return chain((first,), (one for one in known if not is_foreign(one)), fellows)

    def _put(self, who: Correspondent) -> None:
        self._store.put_correspondent(who)
        self._cached = None

    def _known(self) -> dict[NodeId, Correspondent]:
        if self._cached is None:
            self._cached = {one.node_id: one for one in self._store.correspondents()}
            self._named = {one.name: one for one in self._cached.values() if one.name is not None}
            self._addressed = {one.address: one for one in self._named.values()}
        return self._cached


def _read_link(uri: str) -> tuple[NodeId, tuple[NodeId, ...]]:
    """Node id and relays of a contact link, or of somebody on Meshtastic. Raises BadUri and InputError."""
    if uri.strip().startswith(SCHEME):
        return parse_foreign(uri), ()
    parsed = parse_uri_untrusted(uri)
    try:
        agreement_key_of(parsed.node_id)
    except BadWire:
        raise InputError("that link holds no valid key; ask the other person for theirs again") from None
    if is_foreign(parsed.node_id):
        raise InputError("that link stands for nobody's key; ask the other person for theirs again")
    return parsed.node_id, parsed.relays
