"""How nodes on one channel find each other: HELLOs, and handshakes that make links (docs/protocol/link.md).

A link is up at the side that opened it once it is answered, and at the other once that is confirmed. Who
opened asks until it hears something for itself, and ends the link otherwise. Left out: cookies, keys,
restarts.
"""

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from nexus_node.base.limits import HANDSHAKE_TIMEOUT_S, LINKS_PER_CARRIER
from nexus_node.engine import medium
from nexus_node.proto import exchange, link
from nexus_sim.events import Agenda
from nexus_sim.fast import sizes
from nexus_sim.fast.graph import Array, Graph
from nexus_sim.fast.outbox import Frame, Outbox

NONE, UNDER_WAY, UP = 0, 1, 2
_LINK_BITS = 32
_OPENINGS = 4
"""Times that one is sent if nobody answers (docs/protocol/link.md)."""


class Meeting:
    """HELLOs and links of all nodes. Edge e is the link of its node to the edge's end."""

    def __init__(self, graph: Graph, agenda: Agenda, outbox: Outbox, bps: float, dice: Any) -> None:
        count, edges = graph.nodes, len(graph.to)
        self._graph, self._agenda, self._outbox, self._bps, self._dice = graph, agenda, outbox, bps, dice
        self._frame_s = exchange.LARGEST_HANDSHAKE * 8 / bps
        self._tokens = np.full(count, 4.0 * sizes.OPENING)
        self._tokens_at = np.zeros(count)
        self.rtt = np.full(edges, np.nan, dtype=np.float32)
        self.state = np.zeros(edges, dtype=np.uint8)
        self.bit = np.zeros(edges, dtype=np.uint32)
        """Of a link that is up, its bit at its node."""
        self.mask = np.zeros(count, dtype=np.uint32)
        self.links = np.zeros(count, dtype=np.int32)
        """Up or under way."""
        self.up = np.zeros(count, dtype=np.int32)
        self.answered_at = np.full(edges, -np.inf, dtype=np.float32)
        """When something for that link alone was last heard over each."""
        self.heard = np.zeros(edges, dtype=bool)
        self.heard_count = np.zeros(count, dtype=np.int32)
        self.came: list[int] = []
        """Edges whose links have come up since somebody looked."""
        self.ended: Callable[[int, float], None] = lambda edge, now: None
        """Told of links that have ended."""
        self.started = np.full(count, np.inf)
        self.hello_due = np.zeros(count, dtype=bool)
        self._hello_at = np.full(count, np.inf)
        self._gap = np.full(count, medium._HELLO_FIRST_S)
        self._answer_at = np.full(count, np.inf)
        self._hellos = np.zeros(count, dtype=np.int32)
        self._noted: set[int] = set()
        self._noted_of: Counter[int] = Counter()
        self._pending: Counter[int] = Counter()
        self._queued: dict[int, list[int]] = {}
        """Links that wait until fewer are under way, by node."""
        self._avoid: dict[int, float] = {}
        self._asked_at: dict[int, float] = {}
        """When those that open last did."""
        self._dialed: set[int] = set()
        self._attempts: Counter[int] = Counter()
        self._answered: dict[int, tuple[int, int]] = {}
        """The opening answered last that nothing has confirmed, and the answer's number."""
        self._completed: dict[int, int] = {}
        """The number of the answer that made the link of who opened it."""
        self._unproven: set[int] = set()
        """Links of who opened them, over which nothing has come for that link alone."""
        self._number = 0
        self._first = graph.first.tolist()
        self._rank = dice.permutation(count)
        """Stands for the order of node ids."""

    def rto_s(self, node: int) -> float:
        """As `Exchange.rto` of a link that this node begins now."""
        return max(1.0, max(exchange._TURNS_SHARED, int(self.heard_count[node])) * self._frame_s)

    def _timeout_s(self, node: int) -> float:
        least = max(HANDSHAKE_TIMEOUT_S, 20 * self._frame_s)
        return max(least, exchange._ANSWERS * 2 * self.rto_s(node))

    def _leave_to_open(self, node: int) -> float:
        """As `Medium._leave_to_open`."""
        now = self._agenda.now
        share = min(medium._HANDSHAKES, medium._HANDSHAKES_ALL / max(1, int(self.heard_count[node])))
        rate, burst = self._bps / 8 * share, 4.0 * sizes.OPENING
        gained = rate * (now - float(self._tokens_at[node]))
        self._tokens[node] = min(burst, float(self._tokens[node]) + gained)
        self._tokens_at[node] = now
        lacking = sizes.OPENING - float(self._tokens[node])
        return now if lacking <= 0 else now + max(0.001, lacking / rate)

    def start(self, nodes: Array, at: Array) -> None:
        """These are switched on then."""
        self.started[nodes] = at
        self._hello_at[nodes] = at + self._wait(sizes.HELLO, nodes)

    def meet(self) -> None:
        """Everybody has heard everybody in reach and has opened links to some, as happens in time; nobody has
        heard an announce yet."""
        graph = self._graph
        clear = np.flatnonzero(graph.decodable)
        self._note(clear)
        for edge in self._dice.permutation(clear).tolist():
            if self.state[edge] == NONE and self.links[graph.start[edge]] < medium.LINKS_WANTED:
                for one in (edge, int(graph.back[edge])):
                    self._claim(one)
                    self._come(one)
        self.came.clear()
        self._gap[:] = medium._HELLO_MAX_S
        self._hello_at[:] = self._dice.random(graph.nodes) * medium._HELLO_MAX_S

    def _wait(self, size: int, nodes: Array) -> Array:
        """As `Medium._wait`."""
        return np.asarray(self._dice.random(len(nodes)) * self.round_s(size, nodes))

    def round_s(self, size: int, nodes: Array) -> Array:
        """The longest wait of nodes before something of that size that others may say as well."""
        contenders = np.maximum(medium._CONTENDERS, 2 * self.heard_count[nodes])
        return np.asarray(contenders * 8 * size / self._bps)

    def _wait_once(self, size: int, rounds: float, node: int) -> float:
        return (rounds + float(self._dice.random())) * float(self.round_s(size, np.array([node]))[0])

    # --- HELLO ----------------------------------------------------------------------------------
    def expire(self, now: float) -> None:
        """Say what is due."""
        due = np.flatnonzero(self._answer_at <= now)
        self._answer_at[due] = np.inf
        self.hello_due[due] |= self._hellos[due] < medium._ENOUGH_HELLOS
        due = np.flatnonzero(self._hello_at <= now)
        self.hello_due[due] = True
        self._hello_at[due] = now + self._gap[due] * (1 + self._dice.random(len(due)) / 4)
        self._gap[due] = np.minimum(2 * self._gap[due], medium._HELLO_MAX_S)

    def heard_hello(self, edges: Array, now: float) -> Array:
        """HELLOs have arrived over these edges; returns the nodes that have heard somebody new."""
        back = self._graph.back[edges]
        me = self._graph.start[back]
        np.add.at(self._hellos, me, 1)
        fresh = ~self.heard[back]
        self._note(back[fresh])
        new = np.unique(me[fresh])
        quiet = new[np.isinf(self._answer_at[new])]
        self._answer_at[quiet] = now + self._wait(sizes.HELLO, quiet)
        self._hellos[quiet] = 0
        few = (self.state[back] == NONE) & (self.links[me] < medium.LINKS_WANTED)
        for edge in back[few].tolist():
            self._think(edge, now)
        return np.asarray(new)

    def _note(self, edges: Array) -> None:
        self.heard[edges] = True
        np.add.at(self.heard_count, self._graph.start[edges], 1)

    def _think(self, edge: int, now: float) -> None:
        """Open a link after a while, unless there are enough by then."""
        me, peer = int(self._graph.start[edge]), int(self._graph.to[edge])
        if edge in self._noted or self._noted_of[me] >= medium._OPENINGS_NOTED:
            return
        self._noted.add(edge)
        self._noted_of[me] += 1
        rounds = 0.0 if self._rank[me] < self._rank[peer] else 1.0
        self._agenda.at(now + self._wait_once(sizes.OPENING, rounds, me), partial(self._begin, edge))

    def _begin(self, edge: int) -> None:
        me = int(self._graph.start[edge])
        if self._pending[me] >= medium._OPENING_AT_ONCE:  # a real node looks again and again
            self._queued.setdefault(me, []).append(edge)
            return
        if self._leave_to_open(me) > self._agenda.now and self.links[me] < medium.LINKS_WANTED:
            wait = self._wait_once(sizes.OPENING, 1.0, me)
            self._agenda.at(self._agenda.now + wait, partial(self._begin, edge))
            return
        self._noted.discard(edge)
        self._noted_of[me] -= 1
        if self.links[me] < medium.LINKS_WANTED:
            self.open(edge)

    def _concluded(self, me: int) -> None:
        """One link less is under way: others have their turn."""
        self._pending[me] -= 1
        for edge in self._queued.pop(me, ()):
            wait = self._wait_once(sizes.OPENING, 0.0, me)
            self._agenda.at(self._agenda.now + wait, partial(self._begin, edge))

    # --- handshakes -----------------------------------------------------------------------------
    def open(self, edge: int) -> None:
        """Open a link with a node that was heard, if there is none."""
        now = self._agenda.now
        if self.state[edge] == NONE and self.heard[edge] and now >= self._avoid.get(edge, 0.0):
            self._claim(edge)
            self._dialed.add(edge)
            self._dial(edge)

    def _dial(self, edge: int) -> None:
        self._attempts[edge] += 1
        self._attempt(edge, self._attempts[edge], 0)

    def _claim(self, edge: int) -> None:
        me = int(self._graph.start[edge])
        self.state[edge] = UNDER_WAY
        self.links[me] += 1
        self._pending[me] += 1

    def _drop(self, edge: int) -> None:
        me = int(self._graph.start[edge])
        self.state[edge] = NONE
        self._dialed.discard(edge)
        self.links[me] -= 1
        self._concluded(me)
        self._avoid[edge] = self._agenda.now + medium._REOPEN_S

    def _attempt(self, edge: int, attempt: int, tries: int) -> None:
        now = self._agenda.now
        if self.state[edge] != UNDER_WAY or self._attempts[edge] != attempt:
            return
        if tries and edge not in self._asked_at:
            return  # it answers the other's
        if tries >= _OPENINGS:
            self._asked_at.pop(edge, None)
            self._drop(edge)
            return
        me = int(self._graph.start[edge])
        at = self._leave_to_open(me) if tries else now
        if at > now:
            self._agenda.at(at, partial(self._attempt, edge, attempt, tries))
            return
        self._asked_at[edge] = now
        self._send(edge, sizes.OPENING, partial(self._opened, int(self._graph.back[edge]), attempt))
        wait = self.rto_s(me) * 2.0**tries * (1 + float(self._dice.random()) / 4)
        self._agenda.at(now + wait, partial(self._attempt, edge, attempt, tries + 1))

    def _send(self, edge: int, size: int, arrived: Any) -> None:
        me = int(self._graph.start[edge])
        self._tokens[me] -= size
        self._outbox.put(me, Frame(edge, size, "handshake", arrived), once=True)

    def _opened(self, edge: int, attempt: int) -> None:
        """An opening has come from the other end of this edge."""
        now, me, peer = self._agenda.now, int(self._graph.start[edge]), int(self._graph.to[edge])
        if not self.heard[edge]:
            self._note(np.array([edge]))
        if self._answered.get(edge, (0, 0))[0] == attempt:
            self._answer(edge)
            return
        if self.state[edge] == NONE:
            if self.links[me] >= LINKS_PER_CARRIER:
                return
            self._claim(edge)
        elif edge in self._asked_at:
            if self._rank[me] < self._rank[peer]:
                return  # they have crossed, and ours leads
            del self._asked_at[edge]
        self._number += 1
        self._answered[edge] = attempt, self._number
        self._answer(edge)
        self._agenda.at(now + 2 * self.rto_s(me), partial(self._unconfirmed, edge, self._number, now))

    def _answer(self, edge: int) -> None:
        back = int(self._graph.back[edge])
        self._send(edge, sizes.REPLY, partial(self._replied, back, *self._answered[edge]))

    def _unconfirmed(self, edge: int, answer: int, since: float) -> None:
        """Nothing has confirmed what was answered: it is said again, and in the end forgotten."""
        if self._answered.get(edge, (0, 0))[1] != answer:
            return
        now, me = self._agenda.now, int(self._graph.start[edge])
        if now < since + self._timeout_s(me) - 0.001:
            self._answer(edge)
            self._agenda.at(now + 2 * self.rto_s(me), partial(self._unconfirmed, edge, answer, since))
            return
        del self._answered[edge]
        if self.state[edge] == UNDER_WAY and edge in self._dialed:
            self._dial(edge)  # an answer must not end its own trying
        elif self.state[edge] == UNDER_WAY:
            self._drop(edge)

    def _replied(self, edge: int, attempt: int, answer: int) -> None:
        if self.state[edge] == UNDER_WAY and edge in self._asked_at and self._attempts[edge] == attempt:
            self.rtt[edge] = self._agenda.now - self._asked_at.pop(edge)
            self._completed[edge] = answer
            self._come(edge)
            self._unproven.add(edge)
            self._ask_whether_up(edge, answer, 1)
        elif self.state[edge] == UP and self._completed.get(edge) == answer:
            back = int(self._graph.back[edge])
            frame = Frame(edge, sizes.SEALED, "sealed", partial(self._confirm, back))
            self._outbox.put(int(self._graph.start[edge]), frame, once=True)

    def _ask_whether_up(self, edge: int, answer: int, times: int) -> None:
        """As `Link._ask_whether_up`, until something has come."""
        if edge not in self._unproven or self._completed.get(edge) != answer:
            return
        if times > link._PROOFS_ASKED + 1:
            self.end(edge)
            return
        pinged = partial(self._pinged, int(self._graph.back[edge]))
        self._outbox.put(int(self._graph.start[edge]), Frame(edge, sizes.PING, "sealed", pinged))
        wait = self.rto_s(int(self._graph.start[edge])) * 2.0**times
        self._agenda.at(self._agenda.now + wait, partial(self._ask_whether_up, edge, answer, times + 1))

    def _pinged(self, edge: int) -> None:
        if self.confirmed(edge):
            back = int(self._graph.back[edge])
            frame = Frame(edge, sizes.PING, "sealed", partial(self._confirm, back))
            self._outbox.put(int(self._graph.start[edge]), frame)

    def _confirm(self, edge: int) -> None:
        self.confirmed(edge)

    def confirmed(self, edge: int) -> bool:
        """A sealed frame has come from the other end; whether there is a link to open it with."""
        answered = self._answered.get(edge)
        if answered is not None and self._completed.get(int(self._graph.back[edge])) == answered[1]:
            del self._answered[edge]
            if self.state[edge] == UNDER_WAY:
                self._come(edge)
            else:
                self.came.append(edge)  # a new session of a link that was up
        self.answered_at[edge] = self._agenda.now
        self._unproven.discard(edge)
        return bool(self.state[edge] == UP)

    def end(self, edge: int) -> None:
        """Nothing reaches the other end any more."""
        me = int(self._graph.start[edge])
        self.state[edge] = NONE
        self._dialed.discard(edge)
        self.links[me] -= 1
        self.up[me] -= 1
        self.mask[me] &= ~self.bit[edge]
        self.bit[edge] = 0
        self._unproven.discard(edge)
        if not self.up[me]:  # as `Medium._start_anew`
            self._gap[me] = medium._HELLO_FIRST_S
            soon = self._agenda.now + self._wait(sizes.HELLO, np.array([me]))[0]
            self._hello_at[me] = min(self._hello_at[me], soon)
        self.ended(edge, self._agenda.now)

    def _come(self, edge: int) -> None:
        me = int(self._graph.start[edge])
        self.state[edge] = UP
        self._concluded(me)
        free = (bit for bit in range(_LINK_BITS) if not int(self.mask[me]) >> bit & 1)
        self.bit[edge] = 1 << next(free, _LINK_BITS - 1)
        self.mask[me] |= self.bit[edge]
        self.up[me] += 1
        self.answered_at[edge] = self._agenda.now
        self.came.append(edge)

    def is_first(self, nodes: Array, via: Array) -> Array:
        """Whether those of their edges are the links that have been up for longest."""
        edges = np.minimum(self._graph.first[nodes] + via, len(self._graph.to) - 1)
        mask = self.mask[nodes]
        return np.asarray((mask > 0) & (self.bit[edges] == mask & (~mask + 1)))

    def edge_between(self, node: int, other: int) -> int:
        """The edge of one node to another in reach; -1 if it is none."""
        low, high = self._first[node], self._first[node + 1]
        at = low + int(np.searchsorted(self._graph.to[low:high], other))
        return at if at < high and self._graph.to[at] == other else -1
