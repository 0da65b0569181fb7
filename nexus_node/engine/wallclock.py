"""Wall time over monotonic time. A Pi without a clock battery boots in 1970 and must not lie about when."""

PLAUSIBLE_MS = 1_735_689_600_000
"""2025-01-01: a clock that shows an earlier time has not been set."""
_LATEST_MS = 2**32 * 1000
"""2106: the seconds of a message end there."""
NEVER_MS = 2**53
"""An expiry that never comes, for messages written before the clock was set."""


class WallClock:
    """Milliseconds since 1970, from the monotonic seconds every call of the engine carries."""

    def __init__(self) -> None:
        self.offset_s = 0.0
        """Wall seconds minus monotonic seconds; the runtime keeps it true."""

    def ms(self, now: float) -> int:
        return int((now + self.offset_s) * 1000)

    def trusted(self, now: float) -> bool:
        return PLAUSIBLE_MS <= self.ms(now) < _LATEST_MS
