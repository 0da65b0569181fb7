"""Carriers and the links over them: frames in, frames out, neighbours that come and go.

What frames hold is decided by the `NodeCore` on top of this.
"""

from abc import ABC, abstractmethod
from collections import Counter, OrderedDict
from collections.abc import Iterable
from math import inf

from nexus_node.base.duty import AirBudget
from nexus_node.base.errors import BadWire, CarrierClosed, RemoteError
from nexus_node.base.ids import NodeId
from nexus_node.base.limits import PENDING_CONNECTIONS, STRANGER_LINKS
from nexus_node.base.rng import Rng
from nexus_node.crypto.identity import Identity
from nexus_node.engine.medium import Medium
from nexus_node.engine.peers import Attachment
from nexus_node.ports.driver import LinkProfile, Signal
from nexus_node.ports.store import Store
from nexus_node.proto.cookie import CookieJar
from nexus_node.proto.fragment import ReassemblyBudget
from nexus_node.proto.link import Link, LinkDown, LinkFault
from nexus_node.wire.frames import (
    Item,
    ItemKind,
    ItemPacker,
    Lost,
    Opening,
    Retry,
    SealedFrame,
    parse_frame_untrusted,
)
from nexus_node.wire.packet import is_of_paths

_STRANGER_GOES_EVERY_S = 1.0
"""Else those that are let go of, and come again, would have a node do nothing but handshakes."""


class Carriers(ABC):
    """The carriers of one node. Times are monotonic seconds `now`."""

    def __init__(self, identity: Identity, store: Store, rng: Rng, *, now: float) -> None:
        self.identity = identity
        self.store = store
        self.counters: Counter[str] = Counter()
        """Everything refused or dropped, by name, for `status`."""
        self._links_at = self._paths_at = self._rooms_at = inf
        """When links and media have something to do, when the router has, and when all the rest has, which is
        far more seldom. Only ever brought forward between calls of `expire`."""
        self.ready: set[int] = set()
        """Carriers that may have something to send; the runtime takes numbers out."""
        self.attachments: dict[int, Attachment] = {}
        """Links by number: a carrier's own, or one that a link on a shared medium was given."""
        self.media: dict[int, Medium] = {}
        """Shared carriers by number."""
        self.latest: list[Item] = []
        """What the frame holds that was pulled last; nothing if it is not sealed. For who watches the air."""
        self._now = now
        self._rng = rng
        self._cookies = CookieJar(rng)
        self._reassembly = ReassemblyBudget()
        self._next_cid = 1
        self._pending: OrderedDict[int, None] = OrderedDict()
        """Carriers others opened that have not completed a handshake, oldest first."""
        self._stranger_goes_at = now
        """From when on the longest silent link of a stranger may make room for one more."""

    # --- what the node makes of it ----------------------------------------------------------------
    @abstractmethod
    def _link_came(self, one: Attachment, peer: NodeId) -> None:
        """That neighbour has proved who it is."""

    @abstractmethod
    def _link_went(self, one: Attachment, peer: NodeId, why: str) -> None:
        """The link with that neighbour has ended."""

    @abstractmethod
    def _links_changed(self, peer: NodeId, *, retuned: bool = False) -> None:
        """The links with that neighbour can do something else now."""

    @abstractmethod
    def _take(self, one: Attachment, kind: int, body: bytes, now: float) -> None:
        """An item from a neighbour. Raises RemoteError, which is counted."""

    @abstractmethod
    def _follow(self) -> None:
        """Frames were taken in: act on what they have changed."""

    @abstractmethod
    def _fill(self, one: Attachment, peer: NodeId, packer: ItemPacker) -> None:
        """Put what is for that neighbour into a frame."""

    @abstractmethod
    def _fill_broadcast(self, medium: Medium, packer: ItemPacker) -> None:
        """Put what is for all neighbours on a medium into a frame."""

    @abstractmethod
    def _is_worth_a_link(self, peer: NodeId) -> bool:
        """Whether a node heard on a shared medium is, though there are links enough."""

    @abstractmethod
    def _is_contact(self, peer: NodeId) -> bool:
        """Whether its owner knows that node by name."""

    @abstractmethod
    def _settle(self) -> None:
        """Commit what must not leave before it is durable. Raises StoreError."""

    def _number(self) -> int:
        number = self._next_cid
        self._next_cid += 1
        return number

    # --- coming and going -------------------------------------------------------------------------
    def carrier_up(
        self, profile: LinkProfile, label: str, *, dialed: bool, now: float, air: AirBudget | None = None
    ) -> int:
        """A carrier was attached; its number. One more unproven than allowed makes the oldest go.

        `air` is what its radio may send in an hour, if the law limits that; its driver keeps the account.
        """
        cid = self._number()
        if profile.shared:
            medium = self.media[cid] = Medium(
                self.identity,
                profile,
                label,
                cid,
                self._rng,
                self._reassembly,
                number=self._number,
                wanted=self._is_worth_a_link,
                now=now,
                air=air,
            )
            self._arm_links(medium.next_deadline())
            return cid
        known = self.store.neighbour(label) if dialed else None
        link = Link(self.identity, profile, self._rng, dialed=dialed, known=known, now=now)
        one = Attachment(cid, profile, label, link, self._reassembly, dialed=dialed, air=air)
        self.attachments[cid] = one
        if not dialed:
            self._pending[cid] = None
            if len(self._pending) > PENDING_CONNECTIONS:
                oldest, _ = self._pending.popitem(last=False)
                self.attachments[oldest].link.closed = "too many unfinished handshakes"
                self.counters["unfinished_handshakes_dropped"] += 1
                self.ready.add(oldest)
        self._arm_link(one)
        self.ready.add(cid)
        return cid

    def carrier_down(self, cid: int, why: str, now: float) -> None:
        """The carrier went away."""
        self._now = now
        self._pending.pop(cid, None)
        medium = self.media.pop(cid, None)
        for one in list(medium.links.values()) if medium is not None else [self.attachments.get(cid)]:
            if one is not None:
                self._detach(one, why)

    def _detach(self, one: Attachment, why: str) -> None:
        if self.attachments.pop(one.cid, None) is None:
            return
        if one.medium is not None:
            one.medium.remove(one, self._now)
            self._arm_links(one.medium.next_deadline())  # who has lost the last one says HELLO soon
        one.reassembly.clear()
        if one.link.peer is not None and not one.stalled:
            self._link_went(one, one.link.peer, why)

    def carrier(self, cid: int) -> Attachment | Medium | None:
        """What is attached under that number."""
        return self.media.get(cid) or self.attachments.get(cid)

    def closed(self, cid: int) -> str | None:
        """Why that carrier was given up, if it was."""
        one = self.attachments.get(cid)
        return one.link.closed if one is not None else None

    def retune(self, cid: int, profile: LinkProfile) -> None:
        """What the carrier can do has changed."""
        medium = self.media.get(cid)
        if medium is not None:
            medium.retune(profile, self._now)
        one = self.attachments.get(cid)
        if one is not None:
            one.profile = profile
            one.link.retune(profile)
        for link in [one] if one is not None else list(medium.links.values()) if medium is not None else []:
            if link.link.peer is not None:
                self._links_changed(link.link.peer, retuned=True)

    def stalled(self, cid: int, stalled: bool, now: float) -> None:
        """The far end acknowledges nothing: it is as if there were no link, until a new session, which
        begins when it does again. Both ends then tell each other anew what they know."""
        one = self.attachments.get(cid)
        if one is None or one.link.peer is None:
            return
        self._now = now
        one.reached = not stalled
        if stalled and not one.stalled:
            one.stalled = True
            self._link_went(one, one.link.peer, one.why or "")
        self._renew(one, now)
        self._arm_link(one)

    def _renew(self, one: Attachment, now: float) -> None:
        """A stalled link whose far end answers again begins a new session, until there is one."""
        if one.stalled and one.reached and one.link.up:
            one.link.renew(now)
            self._wake(one)

    def billed(self, cid: int, seconds: float) -> None:
        """The last frame took that much airtime."""
        carrier = self.carrier(cid)
        if carrier is not None:
            carrier.airtime_s += seconds

    def close_links(self) -> None:
        """Take leave of every neighbour; the frames go with the next pulls. On shared media that costs more
        air than it is worth."""
        for cid, one in self.attachments.items():
            if one.medium is None:
                one.link.close("stopping")
                self.ready.add(cid)

    def knock(self, source: bytes, frame: bytes, now: float) -> bytes | bool:
        """Judge a frame from a source without a carrier, keeping nothing about it (N3); see DriverPort."""
        try:
            parsed = parse_frame_untrusted(frame)
        except BadWire as error:
            self.counters[error.code] += 1
            return False
        if isinstance(parsed, SealedFrame):
            self.counters["no_session"] += 1
            return Lost().encode()
        if not isinstance(parsed, Opening):
            self.counters["unasked_reply"] += 1
            return False
        if parsed.cookie and self._cookies.accepts(source, parsed.cookie, now):
            return True
        self.counters["cookies_sent"] += 1
        return Retry(parsed.sender, self._cookies.bake(source, now)).encode()

    def _open_to(self, peer: NodeId) -> None:
        """Open a link with a node that is heard on a shared medium, for there is something for it."""
        for medium in self.media.values():
            one = medium.want(peer, self._now)
            if one is not None:
                self.attachments[one.cid] = one
                self._arm_link(one)
                self._wake(one)

    def _give_up(self, one: Attachment) -> None:
        """The other end does not answer any more."""
        one.link.give_up(self._now)
        self._link_events(one)
        if one.link.closed is not None:
            self._wake(one)

    # --- frames in --------------------------------------------------------------------------------
    def passes_by(self, cid: int, frame: bytes, signal: Signal | None) -> bool:
        """Whether that is sealed for another node, as most is where air is shared: nothing changes then."""
        medium = self.media.get(cid)
        if medium is None or not medium.is_for_others(frame):
            return False
        medium.rx_bytes += len(frame)
        medium.signal = signal or medium.signal
        return True

    def deliver(self, cid: int, frame: bytes, signal: Signal | None, now: float) -> None:
        """Take a received frame in. Whatever it holds, nothing but counters and state changes."""
        medium = self.media.get(cid)
        if medium is not None:
            self._deliver_shared(medium, frame, signal, now)
            return
        one = self.attachments.get(cid)
        if one is None:
            return
        self._now = now
        one.rx_bytes += len(frame)
        one.signal = signal or one.signal
        try:
            items = one.link.receive(frame, now)
        except RemoteError as error:
            self.counters[error.code] += 1
            items = []
        self._received(one, items, now)

    def _deliver_shared(self, medium: Medium, frame: bytes, signal: Signal | None, now: float) -> None:
        self._now = now
        medium.rx_bytes += len(frame)
        medium.signal = signal or medium.signal
        one, items = None, []
        try:
            parsed = parse_frame_untrusted(frame)
            one = medium.sort(parsed, now)
            if one is None and isinstance(parsed, SealedFrame):
                return  # it is for others, as most are
            if one is not None:
                self.attachments[one.cid] = one
                one.rx_bytes += len(frame)
                one.signal = signal or one.signal
                items = one.link.take(parsed, now)
        except RemoteError as error:
            self.counters[error.code] += 1
            parsed = None
        if isinstance(parsed, SealedFrame) and parsed.broadcast:
            if one is not None:  # it has said nothing to this node alone, so nothing is due to it
                self._take_items(one, items, now)
                self._follow()
            return
        if one is not None:
            self._received(one, items, now)
        self._arm_links(medium.next_deadline())

    def _received(self, one: Attachment, items: list[Item], now: float) -> None:
        self._link_events(one)
        self._take_items(one, items, now)
        one.link.conclude(now)
        self._link_events(one)
        self._follow()
        self._arm_link(one)
        if one.medium is not None or one.link.stirs or not all(map(_is_of_paths, items)):
            self._wake(one)

    def _take_items(self, one: Attachment, items: list[Item], now: float) -> None:
        for kind, body in items:
            try:
                self._take(one, kind, body, now)
            except RemoteError as error:  # that item's own fault: the others of the frame count
                self.counters[error.code] += 1

    def _link_events(self, one: Attachment) -> None:
        while (event := one.link.poll_event()) is not None:
            if isinstance(event, LinkFault):
                self.counters[event.code] += 1
            elif isinstance(event, LinkDown):
                if not one.stalled:
                    self._link_went(one, event.peer, event.why)
            else:
                one.stalled = False
                self._pending.pop(one.cid, None)
                one.begin_session()
                if one.medium is not None:
                    one.medium.note_senders()
                if one.dialed and one.medium is None and self.store.neighbour(one.label) != event.peer:
                    self.store.remember_neighbour(one.label, event.peer)
                self._link_came(one, event.peer)
                self._bound_strangers(one)

    def _bound_strangers(self, newest: Attachment) -> None:
        """Keys cost nothing: of the links that strangers have opened, the longest silent makes room for one
        more, so that contacts find a place. Whoever is let go of comes again, so that happens now and then
        only; meanwhile the newest goes, which tries again less and less often."""
        if len(self.attachments) <= STRANGER_LINKS or not self._is_strangers(newest):
            return
        strangers = [one for one in self.attachments.values() if self._is_strangers(one)]
        if len(strangers) > STRANGER_LINKS:
            goes = newest
            if self._now >= self._stranger_goes_at:
                self._stranger_goes_at = self._now + _STRANGER_GOES_EVERY_S
                goes = min(strangers, key=lambda one: one.link.last_heard)
            goes.link.closed = "too many links with strangers"
            self.counters["strangers_dropped"] += 1
            self.ready.add(goes.cid)

    def _is_strangers(self, one: Attachment) -> bool:
        """Whether a link is up that somebody has opened who is no contact."""
        peer = one.link.peer
        opened = one.medium is None and not one.dialed and one.link.up and one.link.closed is None
        return opened and peer is not None and not self._is_contact(peer)

    # --- frames out -------------------------------------------------------------------------------
    def next_frame(self, cid: int, now: float) -> bytes | None:
        """The next frame for that carrier, or None. Raises CarrierClosed when it is given up.

        What the frame may tell is committed first.
        """
        medium, one = self.media.get(cid), self.attachments.get(cid)
        if medium is None and one is None:
            raise CarrierClosed("the carrier is detached")
        self._now, self.latest = now, []
        self._settle()
        if medium is not None:
            frame = self._next_shared(medium, now)
            if frame is not None:
                medium.tx_bytes += len(frame)
            return frame
        if one is None:
            return None
        frame = self._frame_of(one, now)
        if frame is None and one.link.closed is not None:
            raise CarrierClosed(one.link.closed)
        return frame

    def _next_shared(self, medium: Medium, now: float) -> bytes | None:
        """HELLO and handshakes, what is for all, then the links in turn."""
        frame = medium.poll_hello(now)
        if frame is not None:
            return frame
        if medium.take_broadcast():
            packer = ItemPacker(medium.room)
            self._fill_broadcast(medium, packer)
            self._settle()
            if packer.items:
                self.latest = packer.items
                return medium.seal(packer.items, now)
        for one in medium.turns():
            frame = self._frame_of(one, now)
            if one.link.closed is not None:
                self._detach(one, one.link.closed)
            elif frame is not None:
                medium.served(one)
            if frame is not None:
                return frame
        return None

    def _frame_of(self, one: Attachment, now: float) -> bytes | None:
        link = one.link
        frame = link.poll_handshake()
        if frame is not None and one.medium is not None:
            one.medium.paid(len(frame), now)
        if frame is None and link.peer is not None and link.up:
            packer = ItemPacker(link.room)
            link.fill(packer)
            if not one.stalled:
                self._fill(one, link.peer, packer)
            self._settle()  # what was just loaded may have been sealed again
            if packer.items or link.must_send:
                self.latest = packer.items
                frame = link.seal(packer.items, now)
                if any(kind == ItemKind.CLOSE for kind, _ in packer.items):
                    link.closed = "this node is stopping"
        if frame is not None:
            one.tx_bytes += len(frame)
            one.frames_sent += 1
            self._arm_link(one)
        return frame

    # --- time -------------------------------------------------------------------------------------
    @property
    def wake_at(self) -> float:
        """When `expire` wants to be called."""
        return min(self._links_at, self._paths_at, self._rooms_at)

    def _expire_links(self, now: float) -> None:
        self._links_at = inf
        for medium in self.media.values():
            for one in medium.expire(now):
                self.attachments[one.cid] = one
            if medium.hello_due or medium.broadcast_due:
                self.ready.add(medium.cid)
            self._arm_links(medium.next_deadline())
        due = [one for one in self.attachments.values() if now >= one.due]
        on_air = False
        for one in due:
            one.link.expire(now)
            self._link_events(one)
            on_air = on_air or one.medium is not None
            if one.medium is not None and one.link.closed is not None:
                self._detach(one, one.link.closed)
                continue
            self._renew(one, now)
            one.due = one.link.next_deadline()
            if one.link.stirs or one.link.closed is not None:
                self._wake(one)
        for one in self.attachments.values():
            if on_air and one.medium is not None:  # what was heard since has put them off: one look for all
                one.due = one.link.next_deadline()
            self._arm_links(one.due)

    def _wake(self, one: Attachment) -> None:
        """That link may have something to send."""
        if one.medium is None:
            self.ready.add(one.cid)
        else:
            one.medium.wake(one)
            self.ready.add(one.medium.cid)

    def _wake_all(self, links: Iterable[Attachment]) -> None:
        for one in links:
            self._wake(one)

    def _arm(self, deadline: float) -> None:
        if deadline < self._rooms_at:
            self._rooms_at = deadline

    def _arm_paths(self, deadline: float) -> None:
        if deadline < self._paths_at:
            self._paths_at = deadline

    def _arm_links(self, deadline: float) -> None:
        if deadline < self._links_at:
            self._links_at = deadline

    def _arm_link(self, one: Attachment) -> None:
        one.due = one.link.next_deadline()
        self._arm_links(one.due)


def _is_of_paths(item: Item) -> bool:
    """Whether an item is news of paths: the router wakes whoever it concerns."""
    kind, body = item
    return kind == ItemKind.PACKET and is_of_paths(body)
