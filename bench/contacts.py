"""Real contact traces: what is delivered, how late, and with how many transmissions (N10, ../shared/traces).

Ours are real nodes, one a person, in virtual time. Flooding and binary spray and wait are models of the same
contacts without limits of bandwidth, whose receipts spread at each contact as ours do: yardsticks. One of
them knows the future: what flooding costs when nothing is carried in vain (docs/adr/0006-carrying.md).
"""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from statistics import fmean

from bench.peers import Peer
from bench.report import Figures, Section, Table, emit, verdict
from nexus_sim.clock import virtual_run
from nexus_sim.contacts import replay
from nexus_sim.traces import Message, Step, Trace, read_trace

TRACES = Path(__file__).parents[1].parent / "shared" / "traces"
CASES = {"sfhh_day1": (4 * 3600.0, 0.65), "invs15": (24 * 3600.0, 0.49)}
"""Time to live in seconds, and how much must be delivered with limited bandwidth."""
BYTES_PER_S = 250_000.0
OVERHEAD_MUST = 100.0
SPRAYS = (6, 16, 64)


class _Model:
    """Copies that cross every contact at once; each may be given on by who has more than one to give."""

    def __init__(
        self, trace: Trace, ttl_s: float, copies: float, *, in_vain: set[Message] | None = None
    ) -> None:
        """`in_vain`: messages that nobody takes, as if they had arrived; everybody then hears of each
        receipt at once."""
        self._trace = trace
        self._ttl_s = ttl_s
        self._copies = copies
        self._held: dict[str, dict[Message, float]] = defaultdict(dict)
        """How many copies each person may still give away, of each message, with their own."""
        self._near: dict[str, set[str]] = defaultdict(set)
        self._proofs: dict[str, set[Message]] = defaultdict(lambda: set() if in_vain is None else in_vain)
        self.delays: dict[str, float] = {}
        self.transmissions = 0

    def run(self) -> Figures:
        for now, step, what in self._trace.timeline():
            if isinstance(what, Message):
                self._held[what.src][what] = self._copies
                self._spread([what.src], now)
            elif step is Step.END:
                self._near[what.a].discard(what.b)
                self._near[what.b].discard(what.a)
            else:
                self._near[what.a].add(what.b)
                self._near[what.b].add(what.a)
                self._spread([what.a, what.b], now)
        delivered = len(self.delays)
        return {
            "delivery_ratio": round(delivered / len(self._trace.messages), 4),
            "delay_s": {"mean": round(fmean(self.delays.values()), 3) if delivered else None},
            "transmissions": self.transmissions,
            "overhead": round((self.transmissions - delivered) / delivered, 3) if delivered else None,
        }

    def _spread(self, changed: list[str], now: float) -> None:
        while changed:
            person = changed.pop(0)
            for other in sorted(self._near[person]):
                changed += [one for one in self._exchange(person, other, now) if one not in changed]

    def _exchange(self, a: str, b: str, now: float) -> Iterable[str]:
        """What two people do who are near each other; those who have something new afterwards."""
        proofs = self._proofs[a] | self._proofs[b]
        changed = {one for one in (a, b) if self._proofs[one] != proofs}
        for giver, taker in ((a, b), (b, a)):
            self._proofs[giver] |= proofs
            for message, copies in list(self._held[giver].items()):
                if message in proofs or now > message.t + self._ttl_s:
                    del self._held[giver][message]
                elif message.dst == taker:
                    self.delays[message.id] = now - message.t
                    self._proofs[a].add(message)
                    self._proofs[b].add(message)
                    self.transmissions += 1
                    changed = {a, b}
                elif copies > 1 and message not in self._held[taker]:
                    given = copies if copies == float("inf") else copies // 2
                    self._held[taker][message] = given
                    self._held[giver][message] = copies if copies == float("inf") else copies - given
                    self.transmissions += 1
                    changed.add(taker)
        return changed


def _ours(trace: Trace, ttl_s: float, bytes_per_s: float, *, carry: bool = True) -> Figures:
    return virtual_run(
        lambda: replay(trace, ttl_s=ttl_s, bytes_per_s=bytes_per_s, seed=0, carry=carry), 0
    ).figures()


def run(peer: Peer | None) -> Section:
    """All of it takes about half an hour."""
    tables = []
    for name, (ttl_s, must) in CASES.items():
        files = TRACES / f"{name}_contacts.csv", TRACES / f"{name}_messages.csv"
        if not files[0].exists():
            continue
        trace = read_trace(*files)
        flooding = _Model(trace, ttl_s, float("inf"))
        rows = {
            "flooding (model)": flooding.run(),
            "flooding that knows the future (model)": _Model(
                trace,
                ttl_s,
                float("inf"),
                in_vain={message for message in trace.messages if message.id not in flooding.delays},
            ).run(),
            **{f"spray and wait, {n} copies (model)": _Model(trace, ttl_s, n).run() for n in SPRAYS},
            "direct, real nodes": _ours(trace, ttl_s, BYTES_PER_S, carry=False),
            "ours": _ours(trace, ttl_s, BYTES_PER_S),
            "ours, unlimited bandwidth": _ours(trace, ttl_s, 0),
        }
        table = Table(
            [
                f"{name}, {ttl_s / 3600:.0f} h",
                "delivered",
                "must",
                "",
                "overhead",
                "must",
                "",
                "mean delay, s",
            ]
        )
        for what, one in rows.items():
            emit(f"contacts: {name}, {what}", one)
            ratio, overhead = one["delivery_ratio"], one["overhead"]
            bars: list[object] = ["-", "", overhead, "-", ""]
            if what == "ours":
                bars = [must, verdict(ratio >= must), overhead, "-", ""]
                if name == "sfhh_day1":
                    bars[3:] = [f"under {OVERHEAD_MUST:.0f}", verdict(overhead < OVERHEAD_MUST)]
            if what == "ours, unlimited bandwidth":
                bound = rows["flooding (model)"]["delivery_ratio"]
                bars[:2] = [f"{bound}, the bound", verdict(ratio == bound)]
            table.add(what, ratio, *bars, one["delay_s"]["mean"])
        tables.append(table)
    words = (
        "One real node a person, each direction of a contact carries 250 kB/s (`nexus-sim contacts`). "
        "Overhead is (transmissions - delivered) / delivered, and counts what came for nothing as well. The "
        "models have no limit of bandwidth and no delay; the one that knows the future carries nothing that "
        "never arrives, and everybody hears of each arrival at once. The ONE simulator on sfhh_day1: "
        "epidemic 0.614 at 359, PRoPHET v2 0.532 at 197, spray and wait with 6 copies 0.152 at 28."
    )
    return Section("Contact traces", words, tables)
