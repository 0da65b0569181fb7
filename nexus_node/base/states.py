"""Delivery states: facts with evidence, which never go backwards."""

from enum import StrEnum
from typing import Self


class State(StrEnum):
    """How far a message has come.

    `queued` and `held` rest on our own disk; `sent` on a carrier having taken the frame; `relayed`
    on a relay's custody promise; `delivered` and `read` on a receipt only the recipient can make.
    """

    QUEUED = "queued"
    HELD = "held"
    SENT = "sent"
    RELAYED = "relayed"
    FAILED = "failed"
    EXPIRED = "expired"
    DELIVERED = "delivered"
    READ = "read"

    rank: int
    """Position on the way; a later state has a higher rank.

    A receipt outranks `failed` and `expired`: proof of arrival is stronger than our giving up.
    """

    def __new__(cls, value: str) -> Self:
        state = str.__new__(cls, value)
        state._value_ = value
        state.rank = len(cls.__members__)  # they stand in order
        return state

    @property
    def final(self) -> bool:
        """Whether nothing more is sent for a message in this state."""
        return self.rank >= State.FAILED.rank

    @property
    def gave_up(self) -> bool:
        """Whether it ended without arriving, as far as we know."""
        return self in (State.FAILED, State.EXPIRED)

    def settles(self, wanted: Self) -> bool:
        """Whether waiting for `wanted` ends here: come so far, or given up. Delivered may yet be read."""
        return self.rank >= wanted.rank or self.gave_up
