"""Delivery states: facts with evidence, which never go backwards."""

from enum import StrEnum


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

    @property
    def rank(self) -> int:
        """Position on the way; a later state has a higher rank.

        A receipt outranks `failed` and `expired`: proof of arrival is stronger than our giving up.
        """
        return _RANK[self]

    @property
    def final(self) -> bool:
        """Whether nothing more is sent for a message in this state."""
        return self.rank >= State.FAILED.rank


_RANK = {state: rank for rank, state in enumerate(State)}
