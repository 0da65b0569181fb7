"""Bytes, rounds and time for two neighbours to find out which items each lacks."""

import random
import time
from dataclasses import dataclass

from bench.peers import Peer
from bench.report import Figures, Section, Table, emit, verdict
from nexus_node.proto.reconcile import Initiator
from nexus_node.proto.reconcile_responder import Responder
from nexus_node.proto.sketch import decode, syndromes
from nexus_node.wire.reconcile import Answer, Question, parse_reconcile_untrusted

DAYS = 30
ROOMS = (200, 1400, 4096)
_WALL = 1_767_225_600
Items = dict[bytes, int]


@dataclass(frozen=True)
class _Case:
    """Two stores of `count` items in all; `most` is the bar in bytes for ranges and for sketches."""

    what: str
    count: int
    differing: int
    recent: bool = False
    most: tuple[int, int] | None = None


CASES = (
    _Case("10 random differences in 10,000", 10_000, 10, most=(4000, 250)),
    _Case("the 10 newest of 10,000 differ", 10_000, 10, recent=True, most=(700, 250)),
    _Case("no difference in 10,000", 10_000, 0, most=(25, 25)),
    _Case("3 random differences in 200", 200, 3),
    _Case("40 random differences in 10,000", 10_000, 40),
)


def _stores(case: _Case, dice: random.Random) -> tuple[Items, Items]:
    """Items of the last 30 days; those that differ are held by one or the other in turn."""
    items = sorted((_WALL - dice.randrange(DAYS * 86400), dice.randbytes(8)) for _ in range(case.count))
    alone = items[case.count - case.differing :] if case.recent else dice.sample(items, case.differing)
    shared = {item: at for at, item in items if (at, item) not in alone}
    first, second = ({item: at for at, item in alone[side::2]} for side in range(2))
    return shared | first, shared | second


def reconcile(case: _Case, room: int, *, narrow: bool) -> Figures:
    """One reconciliation: bytes of the messages both ways, questions asked, time of both ends."""
    dice = random.Random(case.what)
    alice, bob = _stores(case, dice)
    salt = dice.randbytes(8)
    began = time.perf_counter()
    initiator = Initiator(alice, salt=salt, narrow=narrow, room=room)
    responder = Responder(bob, salt=salt, room=room)
    asked = answered = rounds = found = 0
    message: bytes | None = initiator.open()
    while message is not None:
        question = parse_reconcile_untrusted(message)
        if not isinstance(question, Question):
            raise RuntimeError("a question was expected")
        back = responder.take(question).message or b""
        answer = parse_reconcile_untrusted(back)
        if not isinstance(answer, Answer):
            raise RuntimeError("an answer was expected")
        asked, answered, rounds = asked + len(message), answered + len(back), rounds + 1
        reply = initiator.take(answer)
        found += len(reply.they_lack) + len(reply.we_lack)
        message = reply.message
    if found != case.differing or not initiator.exact:
        raise RuntimeError("a difference was not found")
    spent = time.perf_counter() - began
    return Figures(
        what=case.what,
        room=room,
        narrow=narrow,
        asked=asked,
        answered=answered,
        rounds=rounds,
        ms=spent * 1e3,
    )


def sketch_times() -> list[Figures]:
    """Milliseconds to decode a sketch, and to make one of 10,000 items."""
    dice = random.Random(1)
    store = dice.sample(range(1, 2**32), 10_000)
    rows = []
    for differing in (10, 20, 48):
        sums = syndromes(store[:differing], differing)
        made, decoded = [], []
        for _ in range(5):
            began = time.perf_counter()
            syndromes(store, differing)
            between = time.perf_counter()
            decode(sums)
            made.append((between - began) * 1e3)
            decoded.append((time.perf_counter() - between) * 1e3)
        rows.append(Figures(differing=differing, make_ms=min(made), decode_ms=min(decoded)))
    return rows


# --- the report -------------------------------------------------------------------------------------
def run(_peer: Peer | None) -> Section:
    """Ranges for wide links, sketches for narrow ones, and what a sketch takes to decode."""
    columns = [
        "stores",
        "room",
        "method",
        "asked",
        "answered",
        "bytes both ways",
        "at most",
        "",
        "rounds",
        "ms",
    ]
    table = Table(columns)
    for case in CASES:
        for room in ROOMS:
            for narrow in (False, True):
                one = emit("reconcile", reconcile(case, room, narrow=narrow))
                total = one["asked"] + one["answered"]
                bar = (case.most[narrow], verdict(total <= case.most[narrow])) if case.most else ("-", "-")
                method = "sketch" if narrow else "ranges"
                cells = (one["asked"], one["answered"], total, *bar, one["rounds"], f"{one['ms']:.0f}")
                table.add(case.what, room, method, *cells)
    times = Table(["differences", "make the sketch of 10,000 items, ms", "decode, ms"])
    for one in sketch_times():
        emit("sketch", one)
        times.add(one["differing"], f"{one['make_ms']:.1f}", f"{one['decode_ms']:.1f}")
    words = (
        "Messages of the reconciliation itself, without the frames around them (19 bytes each); afterwards "
        "both ends know all 8-byte ids that either lacks. *Room* is the size of a message at most. The time "
        "is that of both ends together, hashing of all items included."
    )
    return Section("Reconciliation", words, [table, times])
