"""Messages of the model: looked for, sent from hop to hop with acknowledgements, and answered by receipts
that come back the same way (docs/protocol/routing.md, link.md).

Left out: relays and custody, refusals (what cannot go on is dropped and its sender repeats it), and that a
second text to somebody is shorter than the first.
"""

import random
import string
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial

from nexus_node.engine import forward, mailbox, neighbour, path_requests, peers
from nexus_sim.events import Agenda
from nexus_sim.fast import sizes
from nexus_sim.fast.gossip import WIRED, Gossip
from nexus_sim.fast.graph import Graph
from nexus_sim.fast.hop import Hop
from nexus_sim.fast.meeting import NONE, UP, Meeting
from nexus_sim.fast.outbox import Frame, Outbox
from nexus_sim.scenario import Texts


@dataclass(eq=False, slots=True)
class Letter:
    """One message of the run."""

    sender: int
    recipient: int
    packet: int
    sent_s: float
    received_s: float | None = None
    answered: bool = False
    tries: int = 0
    rounds: int = 0
    """How often it has crossed the first link in vain."""
    back: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    """By node, whom it came from: the neighbour, and the edge to it or -1 for a wire."""


@dataclass(slots=True)
class _Search:
    until: float
    tries: int = 1
    letters: list[Letter] = field(default_factory=list)


class Carry:
    """All messages under way."""

    def __init__(
        self,
        graph: Graph,
        meeting: Meeting,
        gossip: Gossip,
        outbox: Outbox,
        agenda: Agenda,
        bps: float,
        room: int,
        mtu: int,
    ) -> None:
        self.graph, self.room = graph, room
        self.letters: list[Letter] = []
        self.wires: dict[int, list[tuple[int, float, float]]] = {}
        """By node: the others over wires in the order of `via`, bits a second, delay."""
        self.wire_bytes = 0
        self._meeting, self._gossip, self._outbox, self._agenda = meeting, gossip, outbox, agenda
        self._bps, self._mtu = bps, mtu
        self._searches: dict[tuple[int, int], _Search] = {}
        self._of: dict[int, set[int]] = {}
        """What each node looks for."""
        self._soon_s = max(neighbour.SOON_S, 80 * sizes.ANNOUNCE_ITEM / bps)
        gossip.found = self.found

    def send(self, edge: int, size: int, arrived: Callable[[], None]) -> None:
        """Send a sealed frame; it is of use only if the other end has the link too."""
        back = int(self.graph.back[edge])

        def opened() -> None:
            if self._meeting.confirmed(back):
                arrived()

        self._outbox.put(int(self.graph.start[edge]), Frame(int(edge), size, "sealed", opened))

    def gone(self, edge: int, tries: int) -> bool:
        """As `Attachment.is_dead`: whether the link's other end has gone; then the link ends."""
        now = self._agenda.now
        if tries < peers._DEAD_TRIES or now - self._meeting.answered_at[edge] < peers._DEAD_S:
            return False
        if self._meeting.state[edge] == UP:
            self._meeting.end(edge)
        return True

    # --- texts ----------------------------------------------------------------------------------
    def write(self, texts: Texts, senders: list[int], recipients: list[int], dice: random.Random) -> None:
        """Send texts as `nexus-sim run` does, drawing the same from the same seed."""
        if not texts.per_hour:
            return
        end = texts.end_s
        place = {node: at for at, node in enumerate(recipients)}
        self._next(texts, senders, recipients, place, dice, texts.start_s, end)

    def _next(
        self,
        texts: Texts,
        senders: list[int],
        recipients: list[int],
        place: dict[int, int],
        dice: random.Random,
        at: float,
        end: float,
    ) -> None:
        at += dice.expovariate(texts.per_hour * len(senders) / 3600)
        if at < end:
            self._agenda.at(at, partial(self._text, texts, senders, recipients, place, dice, at, end))

    def _text(
        self,
        texts: Texts,
        senders: list[int],
        recipients: list[int],
        place: dict[int, int],
        dice: random.Random,
        at: float,
        end: float,
    ) -> None:
        sender = dice.choice(senders)
        size = dice.randint(*texts.size)
        letters = "".join(dice.choices(string.ascii_lowercase + "     ", k=size))
        others = len(recipients) - (sender in place)
        if others and self._meeting.started[sender] <= at:
            chosen = dice.choice(range(others))
            recipient = recipients[chosen + (place.get(sender, others) <= chosen)]
            letter = Letter(sender, recipient, sizes.message_packet(letters.encode()), at)
            self.letters.append(letter)
            self._go(letter)
        self._next(texts, senders, recipients, place, dice, at, end)

    # --- from the sender ------------------------------------------------------------------------
    def _go(self, letter: Letter) -> None:
        """Send a letter, or look for a way first."""
        if letter.answered:
            return
        me, to = letter.sender, letter.recipient
        edge = self._meeting.edge_between(me, to)
        if edge >= 0 and self._meeting.state[edge] == NONE:
            self._meeting.open(edge)
        way = self._way(me, to)
        if way is None:
            self._search(me, to, float("inf")).letters.append(letter)
        elif way == (to, edge) and edge >= 0:
            size = sizes.whole(letter.packet)
            if size <= self._mtu:
                self._direct(letter, edge, size)
            else:
                self._far(letter, way, direct=True)
        else:
            self._far(letter, way)

    def _direct(self, letter: Letter, edge: int, size: int) -> None:
        """Whole to a neighbour, which answers with the bare receipt; repeated until then."""
        if self.gone(edge, letter.tries):
            letter.tries = 0
            self._go(letter)
            return
        self.send(edge, size, partial(self._arrived_direct, letter, edge))
        wait = self._retry_after(edge, letter.tries)
        letter.tries += 1
        self._agenda.at(self._agenda.now + wait, partial(self._go, letter))

    def _arrived_direct(self, letter: Letter, edge: int) -> None:
        self._receive(letter)
        self.send(self.graph.back[edge], sizes.RECEIPT, partial(self._answer, letter))

    def _far(self, letter: Letter, way: tuple[int, int], *, direct: bool = False) -> None:
        """Along a path; repeated until the receipt has come, later and later."""
        hop = self._over(
            letter.sender, way, letter.packet, partial(self._come, letter, way[0], letter.sender)
        )
        letter.rounds = 0
        self._await(letter, hop, way, direct)

    def _await(self, letter: Letter, hop: Hop | None, way: tuple[int, int], direct: bool) -> None:
        """As `Mailbox._await`."""
        if hop is not None and (direct or not hop.crossed):
            wait = self._retry_after(way[1], hop.tries)
        else:
            latency = self._latency_s(letter.sender, letter.recipient)
            far = (mailbox._FAR_PATIENCE_S + 4 * latency) * 2.0 ** min(letter.rounds, 10)
            wait = min(far, mailbox._PATIENCE_MAX_S) + 16 * letter.packet / self._bps
        self._agenda.at(self._agenda.now + wait, partial(self._late, letter, hop, way, direct))

    def _late(self, letter: Letter, hop: Hop | None, way: tuple[int, int], direct: bool) -> None:
        if letter.answered:
            return
        if hop is not None and hop.done and not hop.crossed:
            hop.crossed = True  # from now on it is the receipt that is waited for
            self._await(letter, hop, way, direct)
            return
        if hop is not None:
            hop.tries += 1
            if self.gone(way[1], hop.tries):
                self._go(letter)
                return
        if hop is None or hop.done:
            letter.rounds += 1
            other = self._way(letter.sender, letter.recipient)
            if other is None:
                self._go(letter)
                return
            way = other
            hop = self._over(
                letter.sender, way, letter.packet, partial(self._come, letter, way[0], letter.sender)
            )
        else:
            hop.repeat()
        self._await(letter, hop, way, direct)

    # --- on the way -----------------------------------------------------------------------------
    def _come(self, letter: Letter, me: int, before: int) -> None:
        """A letter is at a node, from the one before."""
        edge = self._meeting.edge_between(me, before)
        back = letter.back.setdefault(me, [])
        came = (before, edge)
        if came in back:
            back.remove(came)
        back.append(came)
        del back[: -forward._ORIGINS]
        if me == letter.recipient:
            self._receive(letter)
            self._return(letter, me, before, None)
            return
        way = self._way(me, letter.recipient)
        if way is None or way[0] == before:
            self._search(me, letter.recipient, self._agenda.now + forward._LOOK_S)
            return
        self._pass(me, way, letter.packet, partial(self._come, letter, way[0], me))

    def _return(self, letter: Letter, me: int, peer: int, came_from: int | None) -> None:
        """A receipt goes back to the neighbour that the letter came from."""
        way = (peer, self._meeting.edge_between(me, peer))
        self._pass(me, way, sizes.DELIVERED, partial(self._returned, letter, peer, me))

    def _returned(self, letter: Letter, me: int, before: int) -> None:
        if me == letter.sender:
            self._answer(letter)
            return
        for came in reversed(letter.back.get(me, ())):
            if came[0] != before:
                letter.back[me].remove(came)
                self._return(letter, me, came[0], before)
                return

    def _pass(self, me: int, way: tuple[int, int], packet: int, taken: Callable[[], None]) -> None:
        """One hop, given up after some repeats."""
        hop = self._over(me, way, packet, taken)
        if hop is not None:
            self._watch(hop, way[1])

    def _watch(self, hop: Hop, edge: int) -> None:
        self._agenda.at(self._agenda.now + self._retry_after(edge, hop.tries), partial(self._ask, hop, edge))

    def _ask(self, hop: Hop, edge: int) -> None:
        if hop.done:
            return
        hop.tries += 1
        if not self.gone(edge, hop.tries) and hop.tries <= forward._TRIES:
            hop.repeat()
            self._watch(hop, edge)

    def _over(self, me: int, way: tuple[int, int], packet: int, taken: Callable[[], None]) -> Hop | None:
        """Send a packet to a neighbour; None over a wire, where nothing gets lost."""
        peer, edge = way
        if edge >= 0:
            return Hop(self, edge, packet, taken)
        for other, bps, delay_s in self.wires.get(me, ()):
            if other == peer:
                self.wire_bytes += packet
                self._agenda.at(self._agenda.now + delay_s + 8 * packet / bps, taken)
        return None

    # --- the ends -------------------------------------------------------------------------------
    def _receive(self, letter: Letter) -> None:
        if letter.received_s is None:
            letter.received_s = self._agenda.now

    @staticmethod
    def _answer(letter: Letter) -> None:
        letter.answered = True

    # --- ways -----------------------------------------------------------------------------------
    def _way(self, me: int, to: int) -> tuple[int, int] | None:
        """The next node, and the edge to it or -1 for a wire."""
        edge = self._meeting.edge_between(me, to)
        if edge >= 0 and self._meeting.state[edge] == UP:
            return to, edge
        slot = self._gossip.knows(me, to)
        if slot < 0:
            return None
        via = int(self._gossip.tables.entries["via"][slot])
        if via >= WIRED:
            return self.wires[me][via - WIRED][0], -1
        edge = int(self.graph.first[me]) + via
        return int(self.graph.to[edge]), edge

    def _latency_s(self, me: int, to: int) -> float:
        """What the path says of itself: each hop on the air at least some turns of 100 bytes."""
        slot = self._gossip.knows(me, to)
        hops = int(self._gossip.tables.entries["lora"][slot]) if slot >= 0 else 1
        return hops * neighbour.TURNS * 800 / self._bps

    def _retry_after(self, edge: int, tries: int) -> float:
        """As `Attachment.retry_after`."""
        drain = 2 * 8 * 2 * self._mtu / self._bps
        rtt = float(self._meeting.rtt[edge])
        if rtt != rtt:
            rtt = self._meeting.rto_s(int(self.graph.start[edge]))
        patience = max(0.5, 3 * rtt) * 2.0 ** min(tries, 7)
        return max(min(patience, 60.0), drain)

    # --- looking --------------------------------------------------------------------------------
    def _search(self, me: int, to: int, until: float) -> _Search:
        known = self._searches.get((me, to))
        if known is not None:
            known.until = max(known.until, until)
            return known
        search = self._searches[me, to] = _Search(until)
        self._of.setdefault(me, set()).add(to)
        self._gossip.searching[me] += 1
        self._gossip.ask(me, to, self._agenda.now)
        wait = float(self._gossip.patience_s[me])
        self._agenda.at(self._agenda.now + wait, partial(self._ask_again, me, to))
        return search

    def _ask_again(self, me: int, to: int) -> None:
        search = self._searches.get((me, to))
        if search is None:
            return
        if self._agenda.now >= search.until:
            self._end(me, to)
            return
        search.tries += 1
        soon, most_s = path_requests.ASK_SOON, path_requests.ASK_AGAIN_MAX_S
        if not self._gossip.wired[me]:
            soon, most_s = path_requests.ASK_SOON_SHARED, path_requests.ASK_AGAIN_SHARED_S
        patience = float(self._gossip.patience_s[me]) * 2.0 ** min(max(0, search.tries - soon), 9)
        self._gossip.ask(me, to, self._agenda.now)
        wait = min(patience, most_s)
        self._agenda.at(self._agenda.now + wait, partial(self._ask_again, me, to))

    def found(self, me: int, to: int) -> None:
        """A node has learnt a path."""
        if to in self._of.get(me, ()):
            for letter in self._end(me, to):
                self._go(letter)

    def _end(self, me: int, to: int) -> list[Letter]:
        self._of[me].discard(to)
        self._gossip.searching[me] -= 1
        return self._searches.pop((me, to)).letters

    def linked(self, edges: Iterable[int]) -> None:
        """These links have come up."""
        for edge in edges:
            me, peer = int(self.graph.start[edge]), int(self.graph.to[edge])
            self.found(me, peer)
            for dest in self._wanted(me):
                self._gossip.ask(me, dest, self._agenda.now)
            wait = 2 * max(float(self._gossip.patience_s[me]), self._soon_s)
            self._agenda.at(self._agenda.now + wait, partial(self._greet, edge, 1))

    def _wanted(self, me: int) -> Iterator[int]:
        yield from sorted(self._of.get(me, ()))

    def _greet(self, edge: int, times: int) -> None:
        """Ask a neighbour for its announce, if it has not come."""
        me, peer = int(self.graph.start[edge]), int(self.graph.to[edge])
        slot = self._gossip.knows(me, peer)
        if slot >= 0 and self._gossip.tables.entries["lora"][slot] == 1:
            return
        self.send(edge, sizes.GREETING, partial(self._greeted, peer))
        wait = max(2 * float(self._gossip.patience_s[me]), self._soon_s) * 2.0 ** min(times, 9)
        wait = min(wait, path_requests.ASK_AGAIN_MAX_S)
        self._agenda.at(self._agenda.now + wait, partial(self._greet, edge, times + 1))

    def _greeted(self, peer: int) -> None:
        self._gossip.own_due[peer] = True
