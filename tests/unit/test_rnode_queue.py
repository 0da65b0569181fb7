"""What an RNode may still hold (R5), beside a board that is sent to at random: never less than it holds."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexus_firmware.rnode_queue import QueueAccount
from nexus_firmware.rnode_spans import SPAN_S, Sent, SentSpans

FRAME, REST = 0.7275, 0.708
AIRTIMES = {20: [0.123], 160: [0.482], 254: [FRAME], 500: [FRAME, REST]}
"""Seconds of the LoRa frames of a packet, at SF8 and 125 kHz."""
SLOW = 13
"""So much longer they are at SF12: a frame is longer than a span."""


class Board:
    """Reads what it is written and answers, but while it sends; tells once a second, and when it has sent."""

    def __init__(self, rng: Random, one_by_one: bool, slow: int) -> None:
        self._one_by_one = one_by_one
        self._slow = slow
        self._phase = rng.uniform(0, SPAN_S)
        self._drift = 1 + rng.uniform(-5e-5, 5e-5)
        self.queue: list[int] = []
        self.unread: list[int] = []
        self._sent: list[tuple[float, float]] = []

    def share(self, now: float) -> float:
        """What it tells: the span that runs and the one before, in steps."""
        span = (now * self._drift + self._phase) // SPAN_S
        sent = sum(
            airtime
            for end, airtime in self._sent
            if span - 1 <= (end * self._drift + self._phase) // SPAN_S <= span
        )
        return int(sent / (2 * SPAN_S) * 10_000 + 1e-6) / 10_000

    def send(self, now: float) -> float:
        """Its queue goes out, from now on; when it is out."""
        while self.queue:
            for part in AIRTIMES[self.queue.pop(0)]:
                airtime = part * self._slow
                now += airtime
                self._sent.append((now, airtime))
            if self._one_by_one:
                break
        return now


class Host:
    """Gives a board what the account lets it, with pauses; asks after each packet, one question at a time."""

    def __init__(
        self, board: Board, rng: Random, sizes: list[int], one_by_one: bool, slow: int, others: float
    ) -> None:
        self.board = board
        self._rng = rng
        self._sizes = sizes
        self._slow = slow
        self._others = others
        self.account = QueueAccount(
            packets=3, octets=1500, longest=FRAME * slow, patience=4.6 * slow, one_by_one=one_by_one
        )
        self._questions = 0
        self._clock = 0.0
        """Its own: it may hear of things later than they are."""
        self._busy_until = 0.0
        """With something else."""
        self._kept_out_since: float | None = None
        self.kept_out = 0.0
        """Seconds, at most, in which the board held nothing, and was given nothing."""

    def fill(self, now: float, reads: bool) -> None:
        while now >= self._busy_until and self.account.room(500, self._time(now)):
            if self._rng.random() < 0.2:
                self._busy_until = now + self._rng.expovariate(0.1)
                continue
            size = self._rng.choice(self._sizes)
            self.account.took(size, sum(AIRTIMES[size]) * self._slow, self._time(now))
            (self.board.queue if reads else self.board.unread).append(size)
            if not self._questions:
                self._ask()
            if reads:
                self._answer(now)
            held = self.board.queue + self.board.unread
            assert len(held) <= 4 and sum(held) <= 3000, "more than the rule"

    def _ask(self) -> None:
        self.account.asked()
        self._questions = 1

    def _answer(self, now: float) -> None:
        while self._questions:
            self._questions = 0
            self.account.answered(self._time(now))
            if self.account.unread:
                self._ask()

    def board_reads(self, now: float) -> None:
        self.board.queue += self.board.unread
        self.board.unread.clear()
        self._answer(now)

    def _time(self, now: float) -> float:
        self._clock = max(self._clock, now)
        return self._clock

    def told(self, now: float) -> None:
        late = self._time(now + self._rng.uniform(0, 0.04))
        self.account.told(self.board.share(now), self._others, late)
        if self.account.stuck:
            self.board.queue.clear()
            self.account.forget()
            self.account.switched_on(late)
        if self.board.queue or self.board.unread or self.account.room(500, late):
            self._kept_out_since = None
        elif self._kept_out_since is None:
            self._kept_out_since = now
        else:
            self.kept_out = max(self.kept_out, now - self._kept_out_since)


def play(
    rng: Random,
    sizes: list[int],
    one_by_one: bool,
    mean_wait: float,
    seconds: float,
    slow: int = 1,
    others: float = 1.0,
) -> Host:
    board = Board(rng, one_by_one, slow)
    host = Host(board, rng, sizes, one_by_one, slow, others)
    now = rng.uniform(0, 100)
    end = now + seconds
    told_in = 1.0
    host.account.switched_on(now)
    while now < end:
        wait = 0.05 + rng.expovariate(1 / mean_wait)
        host.fill(now, reads=True)
        while wait > told_in:
            now, wait, told_in = now + told_in, wait - told_in, 1.0
            host.told(now)
            host.fill(now, reads=True)
        now, told_in = now + wait, told_in - wait
        if board.queue:
            begin, now = now, board.send(now)
            if rng.random() < 0.5:
                host.fill(rng.uniform(begin, now), reads=False)
            host.told(now)
            host.board_reads(now)
    return host


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    sizes=st.lists(st.sampled_from(list(AIRTIMES)), min_size=1, max_size=4),
    one_by_one=st.booleans(),
    mean_wait=st.sampled_from((0.1, 0.5, 2.0, 6.0)),
    slow=st.sampled_from((1, SLOW)),
)
def test_r5_a_board_never_holds_more_than_four_packets(
    seed: int, sizes: list[int], one_by_one: bool, mean_wait: float, slow: int
) -> None:
    """Whatever it sends when, though it tells only sums of two spans that begin nobody knows when."""
    play(Random(seed), sizes, one_by_one and slow == 1, mean_wait, 300 * slow, slow)


@pytest.mark.parametrize("one_by_one", [False, True])
@pytest.mark.parametrize("sizes", [[20], [500], [160, 254], list(AIRTIMES)])
def test_r5_a_board_that_holds_nothing_is_soon_given_something(sizes: list[int], one_by_one: bool) -> None:
    """Where a new span hid that it had sent, what is sent next shows it, or the spans after, or its silence
    on a free air."""
    for seed in range(30):
        host = play(Random(seed), sizes, one_by_one, 0.5, 300, others=0.2)
        assert host.kept_out < 26, seed


def test_a_sum_that_falls_says_only_what_is_sure() -> None:
    """The span before is left out; what was sent meanwhile shows when it is more than the last span had."""
    spans = SentSpans(FRAME)

    def told(seconds: float, now: float) -> Sent:
        return spans.told(seconds / (2 * SPAN_S), now)

    no = Sent(None, False)
    assert [told(0.0, 1.0), told(1.5, 2.0), told(1.5, 3.0)] == [no, Sent(2.0, False), no]
    # A span begins at 4 unseen, another at 11.5 for all to see.
    assert [told(1.5, now) for now in (4.5, 8.5, 11.4)] == [no] * 3
    assert told(0.0, 12.4) == no
    assert [told(3.0, 13.0), told(3.0, 18.0)] == [Sent(13.0, False), no]
    # Another begins at 19, and leaves nothing out.
    assert told(3.0, 19.9) == Sent(None, False), "nothing had been sent in the span before"
    assert [told(3.0, 22.0), told(3.0, 25.5)] == [no, Sent(None, True)]
    assert told(1.2, 27.4) == Sent(27.4, False), "nothing had been sent since 19"
    assert [told(1.2, 28.0), told(2.0, 33.0)] == [no, Sent(33.0, False)]


def test_a_sum_that_does_not_fall_when_it_must_says_that_as_much_was_sent() -> None:
    spans = SentSpans(FRAME)
    told = [(0.0, 1.0), (1.5, 2.0), (1.5, 8.5), (1.5, 15.0), (0.0, 16.0), (1.5, 17.0)]
    for seconds, now in told:
        spans.told(seconds / (2 * SPAN_S), now)
    # A span begins at 15.5, the next at 23; then 1.5 s are left out, and as many come.
    for now in (22.0, 24.0, 26.0, 28.5):
        assert spans.told(0.1, now) == Sent(None, False)
    found = [spans.told(0.1, now) for now in (30.0, 31.0, 32.0, 33.1)]
    assert found[0] == Sent(None, True)
    assert Sent(30.0, False) in found, "something went out when it told at 30, or later"
