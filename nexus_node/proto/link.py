"""The link machine: sealed frames, keep-alive, rekey and recovery with one neighbour (N3).

Pull it: `poll_handshake` for what goes in the clear, `fill` and `seal` for what goes sealed. States:
waiting (not dialed) or opening -> up; up again after the peer restarts; closed for good.
"""

from collections import deque
from dataclasses import dataclass
from math import inf

from nexus_node.base.errors import BadWire, LocalError
from nexus_node.base.ids import NodeId
from nexus_node.base.limits import LINK_ITEMS, REKEY_AFTER_S, REKEY_CAPACITY_S, REKEY_MIN_BYTES
from nexus_node.base.rng import Rng
from nexus_node.crypto.identity import Identity
from nexus_node.ports.driver import LinkProfile
from nexus_node.proto.broadcast import BroadcastReceiver
from nexus_node.proto.exchange import Exchange, Leave, Offer, Outcome
from nexus_node.proto.rekey import Rekeying
from nexus_node.proto.session import Session
from nexus_node.wire.frames import (
    ITEM_HEAD,
    TAG_SIZE,
    Capabilities,
    Handshaking,
    Item,
    ItemKind,
    ItemPacker,
    Lost,
    SealedFrame,
    encode_items,
    pad_items,
    parse_frame_untrusted,
    parse_items_untrusted,
    sealed_header,
)

KEEPALIVE_S = 25.0
"""Below the shortest common NAT mapping of 30 s."""
KEEPALIVE_SHARED_S = 2250.0
"""On shared media announces, one each 1,800 s, show that a node is there."""
_SECOND = 1.2
"""The end with the higher id asks so much later: by then it has been asked, which shows both the other."""
_ALIVE_SPARE_S = 1.0
"""A check that comes so much too soon counts: what came last was the answer to the one before."""
SILENT_ROUNDS = 3
"""A neighbour that has said nothing for three rounds is gone (N4)."""
PROMPT_BPS = 100_000
"""From here on, where nothing shows that a connection broke, who does not answer is asked at once: on IP
another path is to take over within two seconds (N4)."""
_PROMPT_FIRST_S, _PROMPT_S, _PROMPT_ASKS = 0.3, 0.2, 6
"""After so long, and so often, with so long between; of ten frames three may get lost."""
_REKEY_TRIES = 12
_REKEY_LATER_S = 120.0
"""On shared media the end with the higher id waits so much longer, or both begin at the same time."""
_PROOFS_ASKED = 3
"""After so many more questions in vain whether a link on a shared medium is up there too, it is not."""
_LOST_EVERY_S = 1.0
CLOSE_WORDS = 64
"""Bytes of a reason for leaving."""
_OWN_ITEMS = frozenset(
    (ItemKind.PADDING, ItemKind.PING, ItemKind.PONG, ItemKind.REKEY, ItemKind.REKEY_REPLY, ItemKind.CLOSE)
)


@dataclass(frozen=True, slots=True)
class LinkUp:
    """The peer proved its identity; a link that was up before is replaced."""

    peer: NodeId


@dataclass(frozen=True, slots=True)
class LinkDown:
    """The link with that peer ended; `why` is for people."""

    peer: NodeId
    why: str


@dataclass(frozen=True, slots=True)
class LinkFault:
    """An item of the peer's was wrong; the others of its frame stand. `code` is the counter."""

    code: str


class Link:
    """One link over one carrier."""

    def __init__(
        self,
        identity: Identity,
        profile: LinkProfile,
        rng: Rng,
        *,
        dialed: bool,
        known: NodeId | None,
        offer: Offer | None = None,
        leave: Leave = lambda now: now,
        others: int = 0,
        now: float,
    ) -> None:
        """`known` is the node met behind this carrier last time, if any; on shared media who the link is
        with. `offer` gives what this side can do, if that is more than the carrier's MTU; `leave` and
        `others` are as for `Exchange`."""
        self._identity = identity
        self._profile = profile
        self._rng = rng
        self._dialed = dialed
        self._exchange = Exchange(
            identity,
            profile,
            rng,
            dialed=dialed,
            known=known,
            offer=offer or (lambda now: Capabilities(self._profile.mtu)),
            leave=leave,
            others=others,
            now=now,
        )
        self.rto = self._exchange.rto
        self.timeout = self._exchange.timeout
        self.keepalive = max(KEEPALIVE_S, 1000 * 22 * 8 / profile.bps)
        if profile.shared:
            self.keepalive = KEEPALIVE_SHARED_S
        later = profile.shared and known is not None and known < identity.node_id
        self._rekey_after = REKEY_AFTER_S + (_REKEY_LATER_S if later else 0.0)
        self._rekey_bytes = max(REKEY_MIN_BYTES, int(REKEY_CAPACITY_S * profile.bps / 8))

        self._session: Session | None = None
        self.broadcasts: BroadcastReceiver | None = None
        """Opens what the peer says to all its neighbours, on shared media."""
        self.peer: NodeId | None = None
        self.mtu = self._peer_mtu = profile.mtu
        self.closed: str | None = None
        """Why this carrier is to be closed, once it is."""
        self.last_heard = self.last_answered = now
        """When a frame of the peer came; and one for this link alone, which shows that it has it too."""
        self._asked = 0
        """How often the peer was asked whether the link is up there too; 0 once it has shown that."""
        self._last_sealed = now
        self.rtt: float | None = None
        self._items: deque[Item] = deque(maxlen=LINK_ITEMS)
        self._events: list[LinkUp | LinkDown | LinkFault] = []
        self._left: str | None = None
        """Why the peer leaves, until the items beside its CLOSE are taken in."""
        self._confirm = False
        """Whether the peer waits for a first sealed frame of ours."""
        self._rekeying: Rekeying | None = None
        self._waiting_until = inf if dialed else now + self.timeout
        self._alive_after, self._alive_due = self.keepalive, inf
        self._answer_due, self._unanswered = inf, 0
        """When the peer is asked whether it heard what it was sent, and how often it was in vain."""
        self._ping: tuple[int, float] | None = None
        self._lost_sent = float("-inf")
        if dialed:
            self._exchange.open(now)

    # --- what the engine asks -------------------------------------------------------------------
    @property
    def up(self) -> bool:
        return self._session is not None

    @property
    def index(self) -> int:
        """Ours, by which frames on a shared medium name this link."""
        return self._exchange.index

    @property
    def state(self) -> str:
        """`up`, `opening`, `waiting` or `closed`, for `status`."""
        if self.closed is not None:
            return "closed"
        if self.up:
            return "up"
        return "opening" if self._exchange.under_way else "waiting"

    @property
    def room(self) -> int:
        """Bytes of items that one sealed frame holds."""
        return self.mtu - self._head - (ITEM_HEAD if self._profile.pad else 0)

    @property
    def _head(self) -> int:
        """Bytes of a sealed frame besides its items."""
        index = self._session.index if self._session is not None else None
        return len(sealed_header(0, index, 0)) + TAG_SIZE

    @property
    def must_send(self) -> bool:
        """Whether a sealed frame is due even if the engine has nothing for it."""
        return self.up and (self._confirm or bool(self._items))

    @property
    def stirs(self) -> bool:
        """Whether a frame is due, in the clear or sealed, even if the engine has nothing for it."""
        return bool(self._exchange.frames) or self.must_send

    def poll_event(self) -> LinkUp | LinkDown | LinkFault | None:
        return self._events.pop(0) if self._events else None

    def poll_handshake(self) -> bytes | None:
        """The next frame that goes in the clear, if any."""
        return self._exchange.frames.popleft() if self._exchange.frames else None

    def fill(self, packer: ItemPacker) -> None:
        """Put the link's own items, as many as fit, at the head of a frame."""
        while self._items and len(self._items[0][1]) <= packer.left:
            packer.add(*self._items.popleft())

    def queue(self, kind: ItemKind, body: bytes) -> None:
        """Add an item of the link's own to the next frame."""
        self._items.append((kind, body))

    def seal(self, items: list[Item], now: float) -> bytes:
        """One sealed frame. `items` must fit `room`."""
        if self._session is None:
            raise LocalError("the link is not up")
        self._confirm = False
        self._last_sealed = now
        quiet = self._answer_due == inf and self._prompt and now >= self.last_heard + _PROMPT_FIRST_S
        if quiet and any(kind not in _OWN_ITEMS for kind, _ in items):  # what answers needs no answer
            self._answer_due = now + max(_PROMPT_FIRST_S, 4 * self._round_trip)
        if self._profile.pad:
            items = pad_items(items, self._head, self._profile.pad, self.mtu)
        frame = self._session.seal(encode_items(items))
        worn = self._session.sealed_bytes > self._rekey_bytes or self._rekey_due(now)
        if worn and self._rekeying is None:
            self._start_rekey(now)
        return frame

    def retune(self, profile: LinkProfile) -> None:
        """What the carrier can do has changed."""
        self._profile = profile
        self.mtu = min(self._peer_mtu, profile.mtu)

    def close(self, why: str) -> None:
        """Tell the peer that this side leaves; the frame goes with the next pull."""
        if self.up:
            self._items.append((ItemKind.CLOSE, why.encode()[:CLOSE_WORDS]))

    # --- receiving ------------------------------------------------------------------------------
    def receive(self, data: bytes, now: float) -> list[Item]:
        """Take a frame in; the items that are not the link's own business come back.

        Raises BadWire with the name of the counter; the link stays as it was.
        """
        return self.take(parse_frame_untrusted(data), now)

    def take(self, frame: Handshaking | SealedFrame, now: float) -> list[Item]:
        """The same for a frame that is parsed already."""
        if isinstance(frame, SealedFrame):
            return self._open_broadcast(frame, now) if frame.broadcast else self._open_sealed(frame, now)
        if isinstance(frame, Lost) and self.up:
            self._exchange.recover(now)
            return []
        if self._exchange.repeats_reply(frame):
            self._confirm = True
        outcome = self._exchange.receive(frame, now)
        if outcome is not None:
            self._establish(outcome, now)
        return []

    def _open_sealed(self, frame: SealedFrame, now: float) -> list[Item]:
        if frame.index is not None and frame.index != self._exchange.index:
            return []
        plaintext = self._decrypt(frame, now)
        self.last_heard = self.last_answered = now
        self._answer_due, self._unanswered = inf, 0
        if self._asked:
            self._asked, self._alive_due = 0, now + self.keepalive
        items = list(parse_items_untrusted(plaintext))
        return [item for item in items if not self._take_own(item, now)]

    def _open_broadcast(self, frame: SealedFrame, now: float) -> list[Item]:
        """What the peer says to all its neighbours; the link's own business is not settled that way."""
        if self.broadcasts is None:
            raise BadWire("no_session")
        plaintext = self.broadcasts.open(frame)
        self.last_heard = now
        return [item for item in parse_items_untrusted(plaintext) if item[0] not in _OWN_ITEMS]

    def recover(self, now: float) -> None:
        """The peer seems to have started anew: try a new handshake, now and then, while the link goes on."""
        self._exchange.recover(now)

    def renew(self, now: float) -> None:
        """Open a new session, unless one is being opened; this one goes on until it is there."""
        if not self._exchange.under_way:
            self._exchange.open(now)

    def conclude(self, now: float) -> None:
        """Let the peer go that said it leaves: to be called once the items of its frame are taken in."""
        if self._left is not None:
            why, self._left = self._left, None
            self._drop(why, now)

    def _decrypt(self, frame: SealedFrame, now: float) -> bytes:
        failure = BadWire("no_session")
        if self._session is not None:
            try:
                plaintext = self._session.open(frame, now)
                self._confirm = self._confirm or self._session.peer_is_behind
                return plaintext
            except BadWire as error:
                failure = error
        confirmed = self._exchange.confirm(frame, now)
        if confirmed is not None:
            outcome, plaintext = confirmed
            self._establish(outcome, now)
            return plaintext
        idle = not self.up and not self._exchange.under_way and not self._profile.shared
        if idle and now >= self._lost_sent + _LOST_EVERY_S:
            self._lost_sent = now
            self._exchange.frames.append(Lost().encode())
        raise failure

    def _take_own(self, item: Item, now: float) -> bool:
        """Act on an item that is the link's own business; False if it is not."""
        kind, body = item
        try:
            return self._take_item(ItemKind(kind), body, now) if kind in _OWN_ITEMS else False
        except BadWire as error:
            self._events.append(LinkFault(error.code))
            return True

    def _take_item(self, kind: ItemKind, body: bytes, now: float) -> bool:
        if kind == ItemKind.PING:
            self._items.append((ItemKind.PONG, body[:1]))
        elif kind == ItemKind.PONG:
            if self._ping is not None and body == bytes((self._ping[0],)):
                self.measured(now - self._ping[1])
                self._ping, self._alive_due = None, now + self._alive_after
        elif kind == ItemKind.REKEY:
            self._on_rekey(body, now)
        elif kind == ItemKind.REKEY_REPLY:
            self._on_rekey_reply(body, now)
        elif kind == ItemKind.CLOSE:
            why = body[:CLOSE_WORDS].decode("utf-8", "replace")
            self._left = f"the peer closed it: {why}" if why.isprintable() and why else "the peer closed it"
        return True

    # --- up and down ----------------------------------------------------------------------------
    def _establish(self, outcome: Outcome, now: float) -> None:
        agreed = outcome.agreed
        if agreed.peer == self._identity.node_id:
            self.closed = "this address leads back to this node"
            return
        if self.peer is not None:
            self._events.append(LinkDown(self.peer, "the peer started a new session"))
        self._exchange.settle()
        self._exchange.known = agreed.peer
        self._session, self.peer = outcome.session, agreed.peer
        self.broadcasts = BroadcastReceiver(agreed.broadcast) if agreed.broadcast is not None else None
        self._peer_mtu = agreed.mtu
        self.mtu = min(agreed.mtu, self._profile.mtu)
        self._rekeying, self._waiting_until = None, inf
        self._items.clear()
        self._confirm = outcome.confirm
        if outcome.rtt is not None:
            self.measured(outcome.rtt)
        self.last_heard = self.last_answered = now
        second = not self._profile.shared and agreed.peer < self._identity.node_id
        self._alive_after = self.keepalive * (_SECOND if second else 1.0)
        self._alive_due = now + self._alive_after
        self._asked = 0
        self._answer_due, self._unanswered = inf, 0
        if outcome.confirm and self._profile.shared:  # much gets lost there, and who answered must hear it
            self._ask_whether_up(now)
        self._events.append(LinkUp(agreed.peer))

    def _drop(self, why: str, now: float) -> None:
        if self.peer is not None:
            self._events.append(LinkDown(self.peer, why))
        self._session = self.peer = self._rekeying = None
        self._alive_due = self._answer_due = inf
        self._items.clear()
        if self._dialed and not self._profile.ordered and not self._profile.shared:
            self._exchange.open(now)
        else:
            self.closed = why

    def give_up(self, now: float) -> None:
        """Nothing reaches the peer any more, or nothing comes back."""
        self._drop("it does not answer", now)

    # --- rekey ----------------------------------------------------------------------------------
    def _start_rekey(self, now: float) -> None:
        if self._session is None or self.peer is None:
            return
        self._rekeying = Rekeying.start(self._identity, self.peer, self._session.binding, self._rng)
        self._rekeying.due = now + 4 * self.rto
        self._items.append((ItemKind.REKEY, self._rekeying.message))

    def _on_rekey(self, message: bytes, now: float) -> None:
        if self._session is None or self.peer is None:
            return
        pending = self._rekeying
        if pending is not None and pending.answered == message:
            self._items.append((ItemKind.REKEY_REPLY, pending.message))
            return
        if pending is not None and pending.leads(message):
            return
        self._rekeying = Rekeying.answer(self._identity, self.peer, self._session.binding, message, self._rng)
        self._rekeying.due = now + 8 * _REKEY_TRIES * self.rto
        open_key, send_key = self._rekeying.keys
        self._session.rekey(send_key, open_key, now, initiator=False)
        self._items.append((ItemKind.REKEY_REPLY, self._rekeying.message))

    def _on_rekey_reply(self, message: bytes, now: float) -> None:
        if self._session is None or self._rekeying is None or self._rekeying.answered is not None:
            return  # a repeat of one we acted on
        self._rekeying.finish(message)
        send_key, open_key = self._rekeying.keys
        self._session.rekey(send_key, open_key, now, initiator=True)
        self._rekeying = None
        self._confirm = True

    # --- time -----------------------------------------------------------------------------------
    def next_deadline(self) -> float:
        """When `expire` wants to be called next; infinite once closed."""
        if self.closed is not None:
            return inf
        rekey = inf
        if self._rekeying is not None:
            rekey = self._rekeying.due
        elif self._session is not None and self._used(self._session):
            rekey = self._session.keyed_at + self._rekey_after
        return min(*self._exchange.deadlines(), self._waiting_until, self._alive_at, self._answer_due, rekey)

    @property
    def _alive_at(self) -> float:
        """When to see whether the peer is there. What came since the last look puts it off on shared media;
        elsewhere the look also shows whether the peer has heard this side of late."""
        if self._profile.shared and not self._asked:
            return max(self._alive_due, self.last_heard + self.keepalive - _ALIVE_SPARE_S)
        return self._alive_due

    def expire(self, now: float) -> None:
        """Do what has become due."""
        if self.closed is not None:
            return
        if now >= self._waiting_until:
            self._waiting_until = inf
            self.closed = "no handshake was completed in time"
            return
        self._exchange.expire(now, up=self.up)
        self.closed = self._exchange.failed
        if now >= self._alive_at:
            self._check_alive(now)
        if now >= self._answer_due:
            self._check_answer(now)
        if self._rekeying is not None:
            if now >= self._rekeying.due:
                self._retry_rekey(now)
        elif self._rekey_due(now):
            self._start_rekey(now)

    def _used(self, session: Session) -> bool:
        """Whether its age counts: on shared media new keys are for who talks, since all share the air."""
        return session.sealed_bytes > 0 or not self._profile.shared

    def _rekey_due(self, now: float) -> bool:
        session = self._session
        return session is not None and self._used(session) and now >= session.keyed_at + self._rekey_after

    def _ask_whether_up(self, now: float) -> None:
        self._asked += 1
        self.ping(now)
        self._alive_due = now + self.rto * 2.0**self._asked

    def _check_alive(self, now: float) -> None:
        if 0 < self._asked <= _PROOFS_ASKED:
            self._ask_whether_up(now)
            return
        if self._asked:
            self._drop("it does not answer", now)
            return
        silent = now - self.last_heard
        late, gone = silent + _ALIVE_SPARE_S, SILENT_ROUNDS * self.keepalive
        if late >= gone:
            self._drop(f"nothing heard for {silent:.0f} s", now)
        elif late >= self._alive_after:
            self.ping(now)
            again = self.keepalive if self._profile.shared else self.keepalive / 2
            self._alive_due = min(now + again, self.last_heard + gone)
        else:
            self._alive_due = self.last_heard + self._alive_after
            if self._last_sealed + self.keepalive <= now and not self._profile.shared:
                self._confirm = True  # the peer sends and sends: let it hear that we are there

    @property
    def _prompt(self) -> bool:
        """Whether a peer that has gone is to be noticed as soon as something is sent to it."""
        profile = self._profile
        return not (profile.ordered or profile.shared) and profile.bps >= PROMPT_BPS

    @property
    def _round_trip(self) -> float:
        """As measured; until then a slow peer must not be taken for one that is gone."""
        return self.rto if self.rtt is None else self.rtt

    def _check_answer(self, now: float) -> None:
        if self._unanswered >= _PROMPT_ASKS:
            self._drop("it does not answer", now)
            return
        self._unanswered += 1
        self.ping(now)
        self._answer_due = now + max(_PROMPT_S, 2 * self._round_trip)

    def ping(self, now: float) -> None:
        """Ask the peer to answer: for keep-alive and round-trip time."""
        number = self._rng.random_bytes(1)
        self._ping = (number[0], now)
        self._items.append((ItemKind.PING, number))

    def _retry_rekey(self, now: float) -> None:
        rekeying = self._rekeying
        if rekeying is None or rekeying.answered is not None:
            self._rekeying = None
            return
        rekeying.tries += 1
        if rekeying.tries > _REKEY_TRIES:
            self._rekeying = None
            self._exchange.open(now)
            return
        rekeying.due = now + 4 * self.rto
        self._items.append((ItemKind.REKEY, rekeying.message))

    def measured(self, rtt: float) -> None:
        """Something was answered after that many seconds."""
        self.rtt = rtt if self.rtt is None else 0.875 * self.rtt + 0.125 * rtt
