"""How much of something may be had in a time: a token bucket (N5, N6, S3)."""


class TokenBucket:
    """`rate` tokens a second, at most `burst` at once; begins full."""

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self.rate = rate
        self.burst = burst
        self._tokens = burst
        self._at = now

    def change(self, rate: float, burst: float, now: float) -> None:
        """Go on at another rate, with what there is, or as much of it as may be saved up."""
        self.has(0.0, now)
        self.rate, self.burst = rate, burst
        self._tokens = min(self._tokens, burst)

    def has(self, count: float, now: float, *, credit: float = 0.0) -> bool:
        """Whether `count` tokens may be taken now, going into debt by at most `credit`. More than `burst`
        may once it is full."""
        if now > self._at:
            self._tokens = min(self.burst, self._tokens + (now - self._at) * self.rate)
            self._at = now
        return self._tokens + credit >= min(count, self.burst)

    def take(self, count: float, now: float, *, credit: float = 0.0) -> bool:
        """Take `count` tokens if `has` them; a debt delays what comes next."""
        if not self.has(count, now, credit=credit):
            return False
        self._tokens -= count
        return True

    def left(self, now: float) -> float:
        """How many tokens there are now; below zero while there is a debt."""
        self.has(0.0, now)
        return self._tokens

    def ready_at(self, count: float, now: float, *, credit: float = 0.0) -> float:
        """When `has` will hold; `now` if it does, else a millisecond later at least: no sum of floats may
        make its caller come again at once."""
        if self.has(count, now, credit=credit):
            return now
        return now + max(0.001, (min(count, self.burst) - credit - self._tokens) / self.rate)
