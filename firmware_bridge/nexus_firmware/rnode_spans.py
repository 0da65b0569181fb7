"""Whether an RNode has sent something, by what it tells of its own airtime. Sans-IO.

After `add_airtime` and `update_airtime` of RNode_Firmware 1.86.
"""

from math import floor
from typing import NamedTuple

SPAN_S = 7.5
"""Own airtime is counted in such spans; the device tells the sum of the one before and of this one."""
_STEP_S = 0.003
"""It is told in steps of half of that."""
_LATE_S = 1.0
"""So much later than others may something told be read."""
_DRIFT = 1e-4
"""So far may a board's clock be off."""


class Sent(NamedTuple):
    """What a sum says beside those before."""

    after: float | None
    """Something surely went out when it told this or later; None where that is not sure."""
    perhaps: bool
    """Whether something may have gone out now without that this shows."""


_NO = Sent(None, False)


class _Between(NamedTuple):
    """A span begins between these, and another with each `SPAN_S`."""

    after: float
    by: float

    def last(self, now: float) -> "_Between":
        """When the span that runs may have begun, if it has: as known, and some for the board's clock."""
        passed = SPAN_S * floor((now - self.after) / SPAN_S)
        return _Between(self.after + passed * (1 - _DRIFT), self.by + passed * (1 + _DRIFT))


class _Unseen(NamedTuple):
    """A span may have begun after `after`; a sum was told at `since`, before which so much belonged to the
    one before."""

    after: float
    since: float
    least: float
    most: float


class SentSpans:
    """Keeps what the device told and, in bounds, how much of it belongs to the span that runs.

    The device tells once a second, and at once when it has sent. A sum that grows says that something was
    sent. One that falls says that a span began and the one before the last was left out; whether something
    was sent as well shows only who knows how much of the last sum belonged to the span that then ended. When
    spans begin depends on when the board was switched on, and is learnt from each fall. One may also begin
    unseen, as nothing is left out, or as much is sent.
    `longest` is the airtime of a whole LoRa frame in seconds: it counts when it ends.
    """

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._told_at: float | None = None
        self._sum = 0.0
        self._least = self._most = 0.0
        """Bounds of what belongs to the span that runs, in seconds, unless another has begun unseen."""
        self._unseen: _Unseen | None = None
        self._grew = False
        """Whether the sum has grown since then."""
        self._began: _Between | None = None
        """None while no sum has fallen."""
        self._turned_at = 0.0
        """When it was last known that one had begun."""
        self._perhaps_at: float | None = None
        """If nothing went out when it told this or later, nothing belongs to the span that runs."""
        self._changed_at = 0.0
        """When something had last gone out, or perhaps."""

    def told(self, share: float, now: float) -> Sent:
        """The device tells that it sent `share` of two spans."""
        sent = self._heard(share, now)
        if sent == _NO and self._sum > _STEP_S and now > self._changed_at + 2 * SPAN_S + _LATE_S:
            # All that had been sent then is left out by now.
            sent = Sent(self._changed_at, False)
        if sent != _NO:
            self._changed_at = now
        return sent

    def _heard(self, share: float, now: float) -> Sent:
        since, self._told_at = self._told_at, now
        was, self._sum = self._sum, 2 * SPAN_S * share
        if since is None:
            self._most = self._sum
            return Sent(None, self._sum > _STEP_S)
        grown = self._sum - was
        if now - since >= SPAN_S:
            return self._after_silence(now - since, grown, now)
        last = self._began and self._began.last(now)
        if last is not None and self._unseen is not None and last.after > self._unseen.after + SPAN_S / 2:
            # Another may have begun already.
            self._least, self._most = 0.0, was
            self._unseen = self._perhaps_at = None
        due = last is None or self._unseen is not None or last.after > self._turned_at
        if grown < -_STEP_S:
            if not due:
                self._least, self._most = 0.0, was
            return self._fell(since, now)
        grew = grown > _STEP_S
        if grew:
            self._perhaps_at = None
        self._least += grown
        self._most += grown
        if last is None:
            self._least, self._most = 0.0, self._sum
        elif due:
            return self._perhaps_turned(grown, last, now)
        return Sent(now, False) if grew else _NO

    def _after_silence(self, silence: float, grown: float, now: float) -> Sent:
        """It was silent for a span or longer, as it is while it sends. Its counters of an hour ago may then
        not be cleared, so that nothing is known of this span."""
        self._least, self._most = 0.0, self._sum
        self._unseen = self._perhaps_at = None
        self._turned_at = now
        if grown > _STEP_S or (silence >= 2 * SPAN_S and self._sum > _STEP_S):
            return Sent(now, False)
        return Sent(None, self._sum > _STEP_S)

    def _fell(self, since: float, now: float) -> Sent:
        """A span has begun, for all to see."""
        sent = self._turned(now, self._least, self._most, now)
        self._begin(self._least, self._note_began(since, now), now)
        return sent

    def _perhaps_turned(self, grown: float, last: _Between, now: float) -> Sent:
        """A span may have begun, or has: unseen, as the sum has not fallen."""
        if self._unseen is None:
            self._unseen = _Unseen(last.after, now, self._least - grown, self._most - grown)
            self._grew = False
        _, since, least, most = self._unseen
        grew = grown > _STEP_S
        self._grew = self._grew or grew
        if now < last.by + _LATE_S:
            sent = Sent(None, self._sum > least + 2 * _STEP_S)
        else:
            sent = self._turned(since, least, most, now)
            if self._grew:
                self._perhaps_at = None
            self._begin(least, last.after, now)
        if self._grew:
            return Sent(now, False) if grew else _NO
        return sent

    def _turned(self, since: float, least: float, most: float, now: float) -> Sent:
        """A span has begun: what the sum says if between `least` and `most` of it belong to the one before,
        and the rest went out when it told at `since` or later."""
        before = self._perhaps_at
        self._perhaps_at = None
        if self._sum > most + 2 * _STEP_S:
            return Sent(since, False)
        if self._sum <= least + 2 * _STEP_S:
            return _NO
        self._perhaps_at = since
        return Sent(before, True)

    def _begin(self, least: float, after: float, now: float) -> None:
        """A span has begun after `after`, and at least so much had been sent in the one before. Frames follow
        each other, and one may have begun in the span before."""
        self._least, self._most = 0.0, max(min(self._sum - least, now - after + self._longest), 0.0)
        self._unseen = None
        self._turned_at = now

    def _note_began(self, since: float, now: float) -> float:
        """A span began between these; after when, at the earliest."""
        seen = _Between(since - _LATE_S, now + _LATE_S)
        if self._began is not None:
            known = self._began.last(seen.by)
            if known.by - SPAN_S > seen.after:
                # Which of two it was is not known.
                return max(seen.after, known.after - SPAN_S)
            both = _Between(max(seen.after, known.after), min(seen.by, known.by))
            seen = both if both.after < both.by else seen
        self._began = seen
        return seen.after
