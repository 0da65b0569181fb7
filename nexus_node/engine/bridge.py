"""Texts to and from named people on Meshtastic: not end-to-end, and no receipts (N17, docs/bridge.md).

A text goes in parts that fit one packet, each when the one before is acknowledged or will not be. The most
that is ever claimed of it is `sent`: acknowledgements of radios are facts beside that, with their words.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from math import inf

from nexus_node.base.errors import InputError, StoreCorrupt, StoreFull
from nexus_node.base.foreign import foreign_uri, is_foreign
from nexus_node.base.ids import MessageId, NodeId, ObjectId
from nexus_node.base.limits import MESSAGE_TTL_S
from nexus_node.base.rng import Rng
from nexus_node.base.states import State
from nexus_node.crypto.address import address_of
from nexus_node.crypto.vault import Vault
from nexus_node.engine.contacts import Contacts
from nexus_node.engine.events import Emit
from nexus_node.engine.wallclock import NEVER_MS, WallClock
from nexus_node.ports.driver import ForeignText, TextFate, TextPart
from nexus_node.ports.store import Correspondent, Fact, Incoming, Outgoing, Store

PART_MAX = 200
"""Bytes of one text: what Meshtastic's own apps allow."""
PARTS_MAX = 5
_HEAD = len("1/5 ")
_ACK_S = 60.0
"""How long a radio tries to get an acknowledgement, and somewhat more."""
_TRIES_MAX = 6
_RETRY_S = 60.0
"""The first pause after a failure, doubled each time."""
_MARK_SIZE = 16


def split_text(text: str) -> list[bytes]:
    """The parts of a text, each numbered if there are several. Raises InputError when there are too many."""
    raw = text.encode()
    if len(raw) <= PART_MAX:
        return [raw]
    parts = []
    while raw:
        end = PART_MAX - _HEAD
        if len(raw) > end:
            while raw[end] & 0xC0 == 0x80:  # not within a letter
                end -= 1
            space = raw.rfind(b" ", end // 2, end)
            end = space + 1 if space > 0 else end
        parts.append(raw[:end])
        raw = raw[end:]
    if len(parts) > PARTS_MAX:
        raise InputError(
            f"the text has {len(text.encode())} bytes, and {PARTS_MAX} Meshtastic texts of {PART_MAX} take"
            f" about {PARTS_MAX * (PART_MAX - _HEAD)}; shorten it or send several"
        )
    return [b"%d/%d %s" % (number, len(parts), part) for number, part in enumerate(parts, 1)]


@dataclass(slots=True)
class _Flight:
    """A row on its way: one at a time to each person."""

    row: Outgoing
    parts: list[bytes]
    at: int = 0
    """The part that is next, or out."""
    tries: int = 0
    token: int = 0
    """Of the part a radio has, 0 when none has one."""
    until: float = -inf
    """Not before then; or, with a radio, an acknowledgement is waited for until then."""
    acknowledged: set[int] = field(default_factory=set)
    why: str = ""


class Bridge:
    """Both directions; drivers of bridging radios come through `runtime.texts`."""

    def __init__(
        self,
        store: Store,
        contacts: Contacts,
        vault: Vault,
        rng: Rng,
        wall: WallClock,
        counters: Counter[str],
        emit: Emit,
        arm: Callable[[float], None],
        send: Callable[[str, str, float], Outgoing],
        own_name: str,
    ) -> None:
        """`send` is how any message of this node is sent: (contact name, text, now)."""
        self._store = store
        self._contacts = contacts
        self._vault = vault
        self._rng = rng
        self._wall = wall
        self._counters = counters
        self._emit = emit
        self._arm = arm
        self._send = send
        self._own_name = own_name
        self._waiting = {to for to in store.recipients() if is_foreign(to)}
        """Who has texts that may not have gone."""
        self._flights: dict[NodeId, _Flight] = {}
        self.radios: list[Callable[[], None]] = []
        """Of each bridging radio that runs, what tells it that there may be something to send."""

    # --- out ------------------------------------------------------------------------------------
    def send(self, to: Correspondent, text: str, now: float) -> Outgoing:
        """Keep a text for somebody on Meshtastic; durable once the engine has committed.

        Raises InputError when it is too long, StoreFull.
        """
        split_text(text)
        created_ms = self._wall.ms(now)
        message_id = MessageId(self._rng.random_bytes(32))
        row = Outgoing(
            id=message_id,
            to=to.node_id,
            object=ObjectId(message_id),
            created_ms=created_ms,
            expires_ms=created_ms + MESSAGE_TTL_S * 1000 if self._wall.trusted(now) else NEVER_MS,
            size=0,
            envelope=b"",
            body=self._vault.seal(text.encode(), self._rng, message_id),
            # Nobody can make receipts for these: they are hashes of nothing.
            delivered_mark=self._rng.random_bytes(_MARK_SIZE),
            read_mark=self._rng.random_bytes(_MARK_SIZE),
        )
        row.seq = self._store.add_outgoing(row)
        self._waiting.add(to.node_id)
        self._say(row, State.QUEUED, "")
        self._ring()
        return row

    def next_part(self, now: float) -> TextPart | None:
        """What may go on the air now; `took` when it is given to a radio. The caller commits first."""
        for to in sorted(self._waiting):
            flight = self._flights.get(to) or self._load(to, now)
            if flight is not None and not flight.token and now >= flight.until:
                return TextPart(to, flight.parts[flight.at], _token(flight))
        return None

    def _load(self, to: NodeId, now: float) -> _Flight | None:
        for row in self._store.pending(to, limit=1):
            if row.state is State.SENT:  # before a restart: it is out, and no more will be known
                self._store.retire(row)
                return self._load(to, now)
            try:
                text = self._vault.open(row.body, row.id).decode()
            except StoreCorrupt:
                self._fact(row, State.FAILED, "our own copy of it was damaged on the disk", now)
                return self._load(to, now)
            flight = self._flights[to] = _Flight(row, split_text(text))
            return flight
        self._waiting.discard(to)
        return None

    def took(self, part: TextPart, now: float) -> None:
        """A radio was given that part."""
        flight = self._flights.get(part.to)
        if flight is not None:
            flight.token, flight.until = part.token, now + _ACK_S
            self._arm(flight.until)

    def back(self, token: int) -> None:
        """The radio went before it said that it has it: the same packet goes again."""
        for flight in self._flights.values():
            if flight.token == token and flight.row.state is not State.SENT:
                flight.token, flight.until = 0, -inf
                self._ring()

    def fate(self, token: int, fate: TextFate, words: str, now: float) -> None:
        """What a radio says of a part; `words` name the radio, or why not."""
        flight = next((one for one in self._flights.values() if one.token == token), None)
        if flight is None:
            return
        row, whom = flight.row, foreign_uri(flight.row.to).partition(":")[2]
        last = flight.at == len(flight.parts) - 1
        if fate is TextFate.REFUSED:
            self._fail(flight, words, now)
            return
        if fate is TextFate.RETRY:
            self._again(flight, words, now)
            return
        if last and row.state.rank < State.SENT.rank:
            self._fact(row, State.SENT, words, now)
        if fate is TextFate.REPEATED and last:
            self._fact(row, State.SENT, "a relay was heard repeating it", now)
        if fate is TextFate.ACKNOWLEDGED:
            flight.acknowledged.add(flight.at)
            if last and len(flight.acknowledged) == len(flight.parts):
                self._fact(row, State.SENT, f"the radio of {whom} has acknowledged it", now)
            self._advance(flight)

    def _again(self, flight: _Flight, words: str, now: float) -> None:
        flight.tries += 1
        if flight.tries >= _TRIES_MAX:
            self._fail(flight, f"given up after {flight.tries} tries: {words}", now)
            return
        flight.token, flight.why = 0, words
        flight.until = now + _RETRY_S * 2.0 ** (flight.tries - 1)
        self._arm(flight.until)

    def _advance(self, flight: _Flight) -> None:
        """That part is done: the next one, or the next text."""
        flight.token, flight.until, flight.tries = 0, -inf, 0
        flight.at += 1
        if flight.at == len(flight.parts):
            del self._flights[flight.row.to]
            self._store.retire(flight.row)
        self._ring()

    def _fail(self, flight: _Flight, words: str, now: float) -> None:
        self._fact(flight.row, State.FAILED, words, now)
        del self._flights[flight.row.to]
        self._ring()

    def _fact(self, row: Outgoing, state: State, by: str, now: float) -> None:
        self._store.add_facts(row, Fact(state, self._wall.ms(now), by))
        self._say(row, state, by)

    def _say(self, row: Outgoing, state: State, by: str) -> None:
        fields = {"id": row.id.hex(), "to": address_of(row.to).hex(), "state": state.value, "by": by}
        self._emit("message_state", {**fields})

    def why(self, row: Outgoing, now: float) -> str:
        """Why it has not come further, in words for people."""
        flight = self._flights.get(row.to)
        if flight is not None and flight.row.id == row.id and flight.why and now < flight.until:
            return f"{flight.why}; trying again in {flight.until - now:.0f} s"
        if row.state is State.SENT:
            return "not end-to-end: no more will be known of it"
        if not self.radios:
            return "no radio bridges texts; set bridge = true on a meshtastic carrier, and look at its state"
        return "waits for the radio, or for a text before it"

    def expire(self, now: float) -> None:
        """Go on where no acknowledgement came, and where a pause is over."""
        for flight in list(self._flights.values()):
            if flight.row.expires_ms <= self._wall.ms(now):
                del self._flights[flight.row.to]
            elif now < flight.until:
                self._arm(flight.until)
            elif flight.token:
                self._advance(flight)
            elif flight.until > -inf:
                flight.until = -inf
                self._ring()

    def _ring(self) -> None:
        for ring in self.radios:
            ring()

    # --- in -------------------------------------------------------------------------------------
    def deliver(self, text: ForeignText, now: float) -> None:
        """A text came from the mesh: into the inbox if it is from a contact and for this node, and on to the
        contact that it names."""
        who = self._contacts.known(text.sender)
        if who is None or who.name is None:
            self._counters["bridge_strangers"] += 1
            self._emit("bridge_stranger", {"from": foreign_uri(text.sender), "name": text.sender_name})
            return
        self._retry(text.sender)
        words = text.text.decode("utf-8", "replace")
        named, rest = self._addressee(words)
        if not text.direct and named is None:
            self._counters["bridge_overheard"] += 1
            return
        if not words:
            return
        message_id = MessageId(
            blake2b(text.sender + text.packet_id.to_bytes(4) + text.text, digest_size=32).digest()
        )
        body = self._vault.seal(words.encode(), self._rng, message_id)
        row = Incoming(message_id, text.sender, 0, self._wall.ms(now), body, b"", b"")
        to = self._contacts.find(named) if named not in (None, self._own_name) else None
        try:
            with self._store.atomic():
                if not self._store.add_incoming(row):
                    self._counters["duplicates"] += 1
                    return
                if to is not None and to.name and not is_foreign(to.node_id) and rest:
                    self._send(to.name, f"{who.name} by Meshtastic, not end-to-end: {rest}", now)
        except StoreFull:
            self._counters["refused_store_full"] += 1
            return
        self._emit("message_received", {"id": message_id.hex(), "from": address_of(text.sender).hex()})

    def _retry(self, sender: NodeId) -> None:
        """They are in reach: what waits for them goes now."""
        flight = self._flights.get(sender)
        if flight is not None and not flight.token:
            flight.until = -inf
            self._ring()

    def forward(self, sender: NodeId, text: str, now: float) -> None:
        """A contact of ours has written to this node: if it begins with @ and somebody on Meshtastic, it is
        for them. Somebody for whom it is too long tells the writer."""
        who = self._contacts.known(sender)
        if not self.radios or not text.startswith("@") or who is None or who.name is None:
            return
        named, rest = self._addressee(text)
        to = self._contacts.find(named)
        if to is None or not is_foreign(to.node_id) or not rest:
            return
        try:
            self.send(to, f"{who.name}: {rest}", now)
        except (InputError, StoreFull) as error:
            self._counters["bridge_refused"] += 1
            try:
                self._send(who.name, f"{named} does not get this: {error}", now)
            except StoreFull:
                pass  # no room for that either

    def _addressee(self, text: str) -> tuple[str | None, str]:
        """Of `@name, words`: the longest name known here that fits, and the words."""
        if not text.startswith("@"):
            return None, text
        names = [self._own_name, *(one.name or "" for one in self._contacts.all())]
        for name in sorted(filter(None, names), key=len, reverse=True):
            rest = text[1 + len(name) :]
            if text[1 : 1 + len(name)].casefold() == name.casefold() and not rest[:1].isalnum():
                return name, rest.lstrip(" ,:")
        return None, text


def _token(flight: _Flight) -> int:
    """The packet's number: the same for the same attempt, also after a restart, so that radios which have it
    already drop it."""
    seed = flight.row.id + bytes((flight.at, flight.tries))
    return int.from_bytes(blake2b(seed, digest_size=4).digest()) or 1
