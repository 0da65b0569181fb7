"""Announces and requests for paths among very many nodes, within what the real node lets them take of the
air (docs/protocol/announce.md, routing.md). Shares, bursts and times are those of the code.

Left out: second paths, losses of paths that are told, announces that only show a sequence, what announces say
of custody, and that a request may ask for more than the one passed on before it. A node whose table is full
takes in nobody new. Times are seconds.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from nexus_node.base.limits import ANNOUNCES_BURST, ANNOUNCES_PER_S
from nexus_node.engine import gossip, medium, neighbour, own_announce, path_requests
from nexus_node.proto import paths
from nexus_node.wire.frames import ITEM_HEAD
from nexus_node.wire.packet import MAX_HOPS
from nexus_sim.fast import sizes
from nexus_sim.fast.ether import rounds
from nexus_sim.fast.graph import Array, Graph
from nexus_sim.fast.meeting import UP, Meeting
from nexus_sim.fast.requests import HOP_BITS, Requests
from nexus_sim.fast.tables import UNTOLD, Tables

WIRED = 200
"""`via` of the first wire; below it are a node's edges on the air."""
_URGENT, _LATER = 1, 0x8000
"""`queued` of answers to the neighbour whose link is the oldest, whose news the router tells first; and what
is added to that of what only others lack, which waits for that. Answers to others are the first of it."""
DEAD = 254
"""`lora` of a path whose link has ended."""
_LOOKS = 6
"""Entries looked at for one item: those all neighbours have are passed over."""
_AIR, _WIRE = 256, 1
"""Costs of hops: wires are cheap."""
WIRE_ITEMS_PER_S = min(neighbour.PACE * ANNOUNCES_PER_S, 1e9)
WIRE_ITEMS_BURST = neighbour.PACE_BURST * ANNOUNCES_BURST


class Gossip:
    """What every node knows of the ways to others, and what it is about to say of them."""

    def __init__(
        self, graph: Graph, meeting: Meeting, tables: Tables, bps: float, room: int, dice: Any
    ) -> None:
        count = graph.nodes
        self.tables = tables
        self._graph, self._meeting, self._dice, self._bps = graph, meeting, dice, bps
        self._room = room + ITEM_HEAD - 1
        self._most = neighbour.frame_full(room)
        """What the budget must have before a frame is begun, as `Gossip.has_broadcasts`."""
        self._rate = np.zeros(count)
        self._tokens = np.full(count, bps / 8 * medium._GOSSIP_SHARE * medium._GOSSIP_BURST_S)
        self._asking_tokens = medium._REQUESTS * self._tokens
        self.share(np.arange(count))
        round_s = path_requests.ROUND_SHARED * 8 * sizes.ANNOUNCE_ITEM / bps
        self.patience_s = np.full(count, max(path_requests.ASK_AGAIN_S, round_s))
        """As `PathRequests._patience`."""
        meeting.ended = self.cut
        self.sequence = np.zeros(count, dtype=np.int32)
        self.own_due = np.zeros(count, dtype=bool)
        self._own_at = np.full(count, np.inf)
        self._announced_at = np.full(count, -np.inf)
        self._introduce_at = np.full(count, np.inf)
        """When new neighbours are told what was announced last."""
        self.news = np.zeros(count, dtype=bool)
        """Whether anything may be queued in the table."""
        self.broadcast_due = np.zeros(count, dtype=bool)
        self._broadcast_at = np.full(count, np.inf)
        self.requests = Requests(count)
        # what is on air
        self._items = max(1, self._room // sizes.ANNOUNCE_ITEM)
        self._questions = max(1, self._room // sizes.REQUEST_ITEM)
        self._said = np.zeros((count, self._items, 4), dtype=np.int32)
        self._said_count = np.zeros(count, dtype=np.uint8)
        self._asking = np.zeros((count, self._questions), dtype=np.int32)
        self._asking_count = np.zeros(count, dtype=np.uint8)
        self.announces_sent = self.requests_sent = 0
        self.searching = np.zeros(count, dtype=np.int32)
        self.found: Callable[[int, int], None] = lambda node, dest: None
        """Told of a path that a node was looking for."""
        # wires
        self.wired = np.zeros(count, dtype=bool)
        self.to_wire: list[tuple[Array, Array]] = []
        self.asked_to_wire: list[tuple[Array, Array]] = []

    def share(self, nodes: Array) -> None:
        """How many these hear has changed; as `Medium._share_gossip`."""
        heard = np.maximum(1, self._meeting.heard_count[nodes])
        rate = self._bps / 8 * np.minimum(medium._GOSSIP_SHARE, medium._GOSSIP_ALL / heard)
        self._rate[nodes], burst = rate, rate * medium._GOSSIP_BURST_S
        self._tokens[nodes] = np.minimum(self._tokens[nodes], burst)
        self._asking_tokens[nodes] = np.minimum(self._asking_tokens[nodes], medium._REQUESTS * burst)

    def spread_out(self) -> None:
        """Everybody's next announce is somewhere in the next interval, as in a mesh that has run for long."""
        self._own_at[:] = self._dice.random(len(self._own_at)) * paths.ANNOUNCE_EVERY_S

    # --- time -----------------------------------------------------------------------------------
    def schedule(self, nodes: Array, at: float) -> None:
        """Announce anew at that time at the latest, as `OwnAnnounce.schedule`."""
        soonest = np.maximum(at, self._announced_at[nodes] + own_announce.ANNOUNCE_GAP_S)
        np.minimum.at(self._own_at, nodes, soonest)

    def linked(self, edges: Array, now: float) -> None:
        """These links have come up: all that is known goes to the new neighbour too."""
        nodes = np.unique(self._graph.start[edges])
        at = now + max(neighbour.SOON_S, 80 * sizes.ANNOUNCE_ITEM / self._bps)
        begun = np.isfinite(self._announced_at[nodes])
        self.schedule(nodes[~begun], at)
        np.minimum.at(self._introduce_at, nodes[begun], at)
        slots, _ = self.tables.of(nodes)
        quiet = slots[self.tables.entries["queued"][slots] == 0]
        self.tables.entries["queued"][quiet] = _LATER + _second(now)
        self.news[nodes] = True

    def expire(self, now: float, step_s: float) -> None:
        """Make new sequences, fill the buckets, and see who is to broadcast."""
        burst = self._rate * medium._GOSSIP_BURST_S
        np.minimum(self._tokens + step_s * self._rate, burst, out=self._tokens)
        asking = self._asking_tokens + step_s * medium._REQUESTS * self._rate
        np.minimum(asking, medium._REQUESTS * burst, out=self._asking_tokens)
        due = np.flatnonzero(self._own_at <= now)
        if len(due):
            self.sequence[due] += 1
            self._announced_at[due] = now
            self._own_at[due] = now + paths.ANNOUNCE_EVERY_S
            self.own_due[due] = self._meeting.up[due] > 0
            wired = due[self.wired[due]]
            if len(wired):
                self.to_wire.append((wired, wired))
        new = np.flatnonzero(self._introduce_at <= now)
        self._introduce_at[new] = self._introduce_at[due] = np.inf
        self.own_due[new] = self._meeting.up[new] > 0
        something = self.own_due & (self._tokens + burst >= np.minimum(sizes.ANNOUNCE_ITEM, burst))
        asking = np.minimum(self.requests.waiting * sizes.REQUEST_ITEM, self._most)
        asking = np.minimum(asking, medium._REQUESTS * burst)
        something |= (self.requests.waiting > 0) & (self._asking_tokens >= asking)
        something |= self.news & (self._tokens >= np.minimum(self._most, burst))
        something &= np.isinf(self._broadcast_at) & ~self.broadcast_due & (self._meeting.up > 0)
        stirred = np.flatnonzero(something)
        wait = self._meeting.round_s(medium._ANNOUNCE_SIZE, stirred)
        self._broadcast_at[stirred] = now + self._dice.random(len(stirred)) * wait
        due = np.flatnonzero(self._broadcast_at <= now)
        self._broadcast_at[due] = np.inf
        self.broadcast_due[due] = True

    # --- saying ---------------------------------------------------------------------------------
    def compose(self, nodes: Array, now: float) -> Array:
        """Fill a broadcast of each, as `Gossip.fill_broadcast`; bytes of the frames, 0 for none."""
        self.broadcast_due[nodes] = False
        left = np.full(len(nodes), self._room)
        burst = self._rate[nodes] * medium._GOSSIP_BURST_S
        self._said_count[nodes] = 0
        self._fill_requests(nodes, left, burst)
        own = self.own_due[nodes] & (left >= sizes.ANNOUNCE_ITEM) & self._affords(nodes, burst, burst)
        mine = nodes[own]
        self.own_due[mine] = False
        self._say(mine, mine, self.sequence[mine] & 255, np.zeros(len(mine)), np.zeros(len(mine)))
        left[own] -= sizes.ANNOUNCE_ITEM
        for _ in range(self._items):
            some = np.flatnonzero((left >= sizes.ANNOUNCE_ITEM) & self.news[nodes])
            if len(some):
                told = self._fill_news(nodes[some], burst[some], now)
                left[some[told]] -= sizes.ANNOUNCE_ITEM
        said = left < self._room
        self._tokens[nodes[said]] -= sizes.SEALED
        return np.where(said, sizes.SEALED + self._room - left - sizes.SAVED, 0)

    def _affords(self, nodes: Array, burst: Array, credit: Any) -> Array:
        return np.asarray(self._tokens[nodes] + credit >= np.minimum(sizes.ANNOUNCE_ITEM, burst))

    def _fill_requests(self, nodes: Array, left: Array, burst: Array) -> None:
        size = sizes.REQUEST_ITEM
        least = np.minimum(size, medium._REQUESTS * burst)
        self._asking_count[nodes] = 0
        going = np.arange(len(nodes))
        for number in range(self._questions):
            self._forget_found(nodes[going])
            here = nodes[going]
            going = going[(self.requests.waiting[here] > 0) & (self._asking_tokens[here] >= least[going])]
            here = nodes[going]
            self._asking[here, number] = self.requests.front(here)
            self.requests.pop(here)
            self._asking_tokens[here] -= size
            left[going] -= size
            self._asking_count[here] += 1
            self.requests_sent += len(here)

    def _forget_found(self, nodes: Array) -> None:
        """What comes first of the requests, if a path has been found meanwhile and any will do."""
        while len(nodes):
            nodes = nodes[self.requests.waiting[nodes] > 0]
            value = self.requests.front(nodes)
            slots = self.tables.find(nodes, self.requests.goals(value))
            found = (slots >= 0) & (self.tables.entries["lora"][slots] != DEAD)
            nodes = nodes[found & (self.requests.least(value)[:, 0] < 0)]
            self.requests.pop(nodes)

    def _say(self, nodes: Array, dests: Array, sequence: Array, lora: Array, ip: Array) -> None:
        place = self._said_count[nodes]
        self._said[nodes, place] = np.stack([dests, sequence, lora, ip], axis=1)
        self._said_count[nodes] += 1
        self._tokens[nodes] -= sizes.ANNOUNCE_ITEM
        self.announces_sent += len(nodes)

    def _fill_news(self, nodes: Array, burst: Array, now: float) -> Array:
        """Say the oldest news, answers first; which nodes did."""
        entries = self.tables.entries
        told = np.zeros(len(nodes), dtype=bool)
        looking = np.arange(len(nodes))
        for _ in range(_LOOKS):
            if not len(looking):
                break
            slots, which = self.tables.of(nodes[looking])
            queued = entries["queued"][slots]
            some = queued > 0
            slots, which, queued = slots[some], which[some], queued[some].astype(np.int64)
            best = np.full(len(looking), np.iinfo(np.int64).max)
            np.minimum.at(best, which, queued << 40 | slots)
            none = best == np.iinfo(np.int64).max
            self.news[nodes[looking[none]]] = False
            looking, best = looking[~none], best[~none]
            node, slot = nodes[looking], best & (1 << 40) - 1
            row = entries[slot]
            wanted = self._lacked(node, row, now)
            skip = slot[~wanted]
            entries["queued"][skip] = 0
            answer = (row["queued"] == _URGENT) | (row["queued"] == _LATER)
            credit = np.where(answer, burst[looking], 0.0)
            paid = wanted & self._affords(node, burst[looking], credit)
            going, row = slot[paid], row[paid]
            entries["queued"][going] = 0
            entries["told_lora"][going] = np.minimum(row["lora"], row["told_lora"])
            entries["told"][going] = _when(now)
            dests = row["dest"] - 1
            self._say(node[paid], dests, row["seq"], row["lora"], row["ip"])
            self.requests.answered(node[paid], dests)
            told[looking[paid]] = True
            looking = looking[~wanted]
        return told

    def _lacked(self, nodes: Array, row: Array, now: float) -> Array:
        """Whether any neighbour on the air lacks that, as `Gossip._lacks`."""
        over_air = row["via"] < WIRED
        edge = self._graph.first[nodes] + np.where(over_air, row["via"], 0)
        edge = np.minimum(edge, len(self._graph.to) - 1)
        over = np.where(over_air, self._meeting.bit[edge], 0)
        lacking = self._meeting.mask[nodes] & ~row["told_by"] & ~over
        far = row["lora"].astype(np.int32) + row["ip"] >= MAX_HOPS  # or dead
        few = np.bitwise_count(self._meeting.mask[nodes] & row["told_by"]) < gossip.TELLERS
        asked = self.requests.open_for(nodes, row["dest"] - 1, row["via"], now, wires=WIRED)
        return np.asarray(((lacking != 0) & few | asked) & ~far)

    # --- hearing --------------------------------------------------------------------------------
    def hear(self, edges: Array, now: float) -> None:
        """Broadcasts have arrived over these edges."""
        back = self._graph.back[edges]
        linked = self._meeting.state[back] == UP
        edges, back = edges[linked], back[linked]
        sender, me = self._graph.start[edges], self._graph.start[back]
        via = back - self._graph.first[me]
        count = self._said_count[sender]
        for number in range(int(count.max(initial=0))):
            some = np.flatnonzero(count > number)
            said = self._said[sender[some], number]
            bit = self._meeting.bit[back[some]]
            self.learn(me[some], via[some], bit, said[:, 0], said[:, 1], said[:, 2] + 1, said[:, 3], now)
        count = self._asking_count[sender]
        for number in range(int(count.max(initial=0))):
            some = np.flatnonzero(count > number)
            self.asked_for(me[some], via[some], self._asking[sender[some], number], now)

    def learn(
        self,
        me: Array,
        via: Array,
        bit: Array,
        dest: Array,
        seq: Array,
        lora: Array,
        ip: Array,
        now: float,
    ) -> None:
        """Announces for `me` over `via`, with hops as seen from here."""
        some = np.flatnonzero((dest != me) & (lora + ip <= MAX_HOPS))
        some = some[np.argsort(me[some], kind="stable")]
        for one in rounds(me[some]):
            at = some[one]
            self._learn(me[at], via[at], bit[at], dest[at], seq[at], lora[at], ip[at], now)

    def _learn(
        self, me: Array, via: Array, bit: Array, dest: Array, seq: Array, lora: Array, ip: Array, now: float
    ) -> None:
        slots, fresh = self.tables.admit(me, dest)
        there = slots >= 0
        if not there.all():
            me, via, bit, dest = me[there], via[there], bit[there], dest[there]
            seq, lora, ip, slots, fresh = seq[there], lora[there], ip[there], slots[there], fresh[there]
        entries = self.tables.entries
        row = entries[slots]
        row["newest"][fresh] = seq[fresh]
        ahead = (seq - row["newest"]).astype(np.uint8)
        older = ~fresh & (ahead >= 128)  # it is refused, and who says it is shown what is newer
        row["newest"] = np.where(older, row["newest"], seq)
        same = ~fresh & ~older & (row["seq"] == row["newest"])
        cost, known = _cost(lora, ip), _cost(row["lora"], row["ip"])
        stale = now - row["heard"] >= paths.STALE_AFTER_S
        better = fresh | stale | (row["lora"] == DEAD) | (row["via"] == via) | (cost < paths._STICKY * known)
        told = row["told_lora"].astype(np.int32)  # nearer than that is free of loops: the bound
        bound = same & (told != UNTOLD) & (lora - (via < WIRED) >= told)
        take = better & ~older & ~bound
        anew = take & ~same
        least, most = np.minimum(lora, row["lora"]), np.maximum(lora, row["lora"])
        row["told"][take & (most > paths._CHANGE * least)] = 0
        row["heard"][anew] = now
        row["told_lora"][anew] = UNTOLD
        row["told_by"][anew] = 0
        for name, value in (("seq", seq), ("via", via), ("lora", lora), ("ip", ip)):
            row[name][take] = value[take]
        row["told_by"][take & same & (cost + _AIR < known)] = 0  # what was as good is not any more
        also = ~older & (row["seq"] == seq) & (cost - 2 * _AIR <= _cost(row["lora"], row["ip"]))
        row["told_by"][also] |= bit[also]
        cost = row["lora"].astype(np.int32)
        changed = np.maximum(cost, told) > paths._CHANGE * np.minimum(cost, told)
        waits = row["told"] + gossip.RETOLD_S > _when(now)
        enough = np.where(row["told"] == 0, gossip.TELLERS, np.where(waits, 0, gossip.TELLERS_AGAIN))
        heard = np.bitwise_count(self._meeting.mask[me] & row["told_by"])
        spare = (enough > 0) & (heard >= enough) & also
        row["told"][spare] = _when(now)
        row["queued"][spare & (row["queued"] > _URGENT) & (row["queued"] < _LATER)] = 0
        tell = take & ((row["told_lora"] == UNTOLD) | changed) & (heard < enough)
        tell &= (row["queued"] == 0) | (row["queued"] >= _LATER)
        row["queued"][tell] = _second(now)
        answer = take & self.requests.open_for(me, dest, via, now, wires=WIRED)
        row["queued"][answer & (row["queued"] == 0)] = _second(now)
        row["queued"][answer & self._meeting.is_first(me, self.requests.asked_by(me, dest))] = _URGENT
        entries[slots] = row
        self.news[me[tell | answer]] = True
        wire = (tell | answer | older & (via >= WIRED)) & self.wired[me]
        if wire.any():
            self.to_wire.append((me[wire], dest[wire]))
        for at in np.flatnonzero(self.searching[me] > 0).tolist():
            self.found(int(me[at]), int(dest[at]))

    # --- requests -------------------------------------------------------------------------------
    def ask(self, node: int, dest: int, now: float) -> None:
        """A node asks all its neighbours for a path, if it has any."""
        if not self._meeting.up[node] and not self.wired[node]:
            return
        least = -1, -1
        slot = self.tables.look(node, dest)
        if slot >= 0:  # as `PathTable.bound`
            row = self.tables.entries[slot]
            untold = row["told_lora"] == UNTOLD
            least = (int(row["seq"]) - untold) & 255, 0 if untold else int(row["told_lora"])
        self._pass_on(np.array([node]), self.requests.make(node, dest, *least), now)

    def _pass_on(self, me: Array, value: Array, now: float) -> None:
        self.requests.passed(me, self.requests.goals(value), now)
        self.requests.queue(me, value)
        wire = self.wired[me]
        if wire.any():
            self.asked_to_wire.append((me[wire], value[wire]))

    def asked_for(self, me: Array, via: Array, value: Array, now: float) -> None:
        """Requests for `me` over `via`, as `PathRequests.take`."""
        order = np.argsort(me, kind="stable")
        for one in rounds(me[order]):
            at = order[one]
            self._asked_for(me[at], via[at], value[at], now)

    def _asked_for(self, me: Array, via: Array, value: Array, now: float) -> None:
        new = self.requests.first_time(me, value)
        me, via, value = me[new], via[new], value[new]
        dest, least = self.requests.goals(value), self.requests.least(value)
        here = me == dest
        wanting = here & ~_newer(self.sequence[me], least[:, 0])
        anew = me[wanting]
        self.schedule(anew[self._announced_at[anew] < now - 1 / own_announce.BUMPS_PER_S], now)
        here_now = me[here & ~wanting]
        self.own_due[here_now] = self._meeting.up[here_now] > 0
        wired = me[here][self.wired[me[here]]]
        if len(wired):
            self.to_wire.append((wired, wired))
        me, via, value, dest, least = me[~here], via[~here], value[~here], dest[~here], least[~here]
        self.requests.note(me, dest, via, now)
        hops = value & (1 << HOP_BITS) - 1
        slots = self.tables.find(me, dest)
        entries = self.tables.entries
        known = slots >= 0
        row = entries[slots[known]]
        known[known] = (
            (row["via"] != via[known]) & (row["lora"] != DEAD) & _good(row, least[known], hops[known])
        )
        asked = known & (via < WIRED)
        slots, first = slots[asked], self._meeting.is_first(me[asked], via[asked])
        entries["queued"][slots[first]] = _URGENT
        idle = ~first & ((entries["queued"][slots] == 0) | (entries["queued"][slots] > _LATER))
        entries["queued"][slots[idle]] = _LATER
        self.news[me[asked]] = True
        wired_known = known & self.wired[me] & (via >= WIRED)
        if wired_known.any():
            self.to_wire.append((me[wired_known], dest[wired_known]))
        me, value, hops, dest = me[~known], value[~known], hops[~known], dest[~known]
        on = ~self.requests.soon_again(me, dest, self.patience_s[me], now) & (hops > 0)
        if on.any():
            self._pass_on(me[on], value[on] - 1, now)

    # --- figures --------------------------------------------------------------------------------
    def knows(self, node: int, dest: int) -> int:
        """The entry of a path; -1 for none."""
        slot = self.tables.look(node, dest)
        return slot if slot >= 0 and self.tables.entries["lora"][slot] != DEAD else -1

    def cut(self, edge: int, now: float) -> None:
        """That link has ended, and the paths over it."""
        node = np.array([int(self._graph.start[edge])])
        slots, _ = self.tables.of(node)
        over = slots[self.tables.entries["via"][slots] == edge - int(self._graph.first[node[0]])]
        self.tables.entries["lora"][over] = DEAD
        self.schedule(node, now + neighbour.SOON_S)


def _cost(lora: Array, ip: Array) -> Array:
    return np.asarray(lora.astype(np.int32) * _AIR + ip.astype(np.int32) * _WIRE)


def _newer(sequence: Array, least: Array) -> Array:
    """Whether that is newer than what is known already, of which -1 is nothing."""
    ahead = (sequence - least).astype(np.uint8)
    return np.asarray((least < 0) | ((ahead > 0) & (ahead < 128)))


def _good(row: Array, least: Array, hops: Array) -> Array:
    """Whether a path answers a request; beyond the first hop fewer hops do not count, as there."""
    first = hops == MAX_HOPS - 1
    nearer = first & (row["seq"] == least[:, 0]) & (row["lora"] < least[:, 1])
    return np.asarray(_newer(row["seq"].astype(np.int32), least[:, 0]) | nearer)


def _when(now: float) -> int:
    return min(0xFFFF, 1 + int(now))


def _second(now: float) -> int:
    return min(_LATER - 1, 2 + int(now))
