"""Whether an RNode has sent something, by what it tells of its own airtime. Sans-IO.

After `add_airtime` and `update_airtime` of RNode_Firmware 1.86.
"""

from enum import Enum
from math import floor
from typing import NamedTuple

SPAN_S = 7.5
"""Own airtime is counted in such spans; the device tells the sum of the one before and of this one."""
_STEP_S = 0.003
"""It is told in steps of half of that."""
_LATE_S = 0.1
"""So much later than others may something told be read."""
_GRACE_S = 1.0
"""After a span must have begun: what is told then was not said before."""
_DRIFT = 1e-4
"""So far may a board's clock be off."""


class Sent(Enum):
    """What a sum says beside the one before: whether something went out since."""

    NO = "nothing"
    YES = "something"
    PERHAPS = "nothing or something"
    SINCE_PERHAPS = "something since it last was perhaps"


class _Between(NamedTuple):
    """A span begins between these, and another with each `SPAN_S`."""

    after: float
    by: float

    def last(self, now: float) -> "_Between":
        """When the span that runs may have begun, if it has: as known, and some for the board's clock."""
        passed = SPAN_S * floor((now - self.after) / SPAN_S)
        return _Between(self.after + passed * (1 - _DRIFT), self.by + passed * (1 + _DRIFT))


class SentSpans:
    """Keeps what the device told and, in bounds, how much of it belongs to the span that runs.

    A sum that grows says that something was sent. One that falls says that a span began and the one before
    the last was left out; whether something was sent as well shows only who knows how much of the last sum
    belonged to the span that then ended. When spans begin depends on when the board was switched on, and is
    learnt from each fall. One may also begin unseen, as nothing is left out, or as much is sent.
    `longest` is the airtime of a whole LoRa frame in seconds: it counts when it ends.
    """

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._told_at: float | None = None
        self._sum = 0.0
        self._least = self._most = 0.0
        """Bounds of what belongs to the span that runs, in seconds; to the one before, if unseen another has
        begun."""
        self._unseen: tuple[float, float] | None = None
        """These bounds before another may have begun unseen; None while none may have."""
        self._grew = False
        """Whether the sum has grown since then."""
        self._began: _Between | None = None
        """None while no sum has fallen."""
        self._answered_at = 0.0
        """When the last answer but NO was given."""
        self._turned_at = 0.0
        """When it was last known that one had begun."""
        self._perhaps = False
        """Whether all that was said since a span began is PERHAPS: if nothing went out before, nothing
        belongs to it."""

    def told(self, share: float, now: float) -> Sent:
        """The device tells that it sent `share` of two spans: whether something went out since."""
        answer = self._heard(share, now)
        if answer is Sent.NO and self._sum > _STEP_S and now > self._answered_at + 2 * SPAN_S + _LATE_S:
            # All that had been sent then is left out by now.
            answer = Sent.SINCE_PERHAPS
        if answer is not Sent.NO:
            self._answered_at = now
        return answer

    def _heard(self, share: float, now: float) -> Sent:
        since, self._told_at = self._told_at, now
        was, self._sum = self._sum, 2 * SPAN_S * share
        if since is None:
            self._most = self._sum
            return self._beside(self._least, self._most)
        if now - since >= 2 * SPAN_S:
            self._least = self._most = 0.0
        grown = self._sum - was
        last = self._began and self._began.last(now)
        due = last is None or self._unseen is not None or last.after > self._turned_at
        if grown < -_STEP_S:
            if not due:
                self._least, self._most = 0.0, was
            return self._fell(since, now)
        grew = grown > _STEP_S
        self._perhaps = self._perhaps and not grew
        self._least += grown
        self._most += grown
        if last is None:
            self._least, self._most = 0.0, self._sum
        elif due:
            return self._perhaps_turned(grown, last, now)
        return Sent.YES if grew else Sent.NO

    def _fell(self, since: float, now: float) -> Sent:
        """A span has begun, for all to see."""
        answer = self._turned(self._least, self._most)
        self._begin(self._least, self._note_began(since, now), now)
        return answer

    def _perhaps_turned(self, grown: float, last: _Between, now: float) -> Sent:
        """A span may have begun, or has: unseen, as the sum has not fallen."""
        if self._unseen is None:
            self._unseen, self._grew = (self._least - grown, self._most - grown), False
        least, most = self._unseen
        grew = grown > _STEP_S
        self._grew = self._grew or grew
        if now < last.by + _GRACE_S:
            answer = self._beside(least, most)
            answer = Sent.PERHAPS if answer is Sent.YES else answer
        else:
            answer = self._turned(least, most)
            answer = Sent.SINCE_PERHAPS if answer is Sent.YES else answer
            self._perhaps = self._perhaps and not self._grew
            self._begin(least, last.after, now)
        if self._grew:
            return Sent.YES if grew else Sent.NO
        return answer

    def _turned(self, least: float, most: float) -> Sent:
        """As a span has begun: whether something went out if between `least` and `most` of the sum did in
        the span before."""
        answer = self._beside(least, most)
        if answer is Sent.PERHAPS and self._perhaps:
            answer = Sent.SINCE_PERHAPS
        self._perhaps = answer in (Sent.PERHAPS, Sent.SINCE_PERHAPS)
        return answer

    def _beside(self, least: float, most: float) -> Sent:
        if self._sum > most + 2 * _STEP_S:
            return Sent.YES
        return Sent.PERHAPS if self._sum > least + 2 * _STEP_S else Sent.NO

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
