"""What is known of mutable objects, and whose owner has forked one (N7, docs/protocol/mutable.md)."""

from collections.abc import Iterable
from dataclasses import dataclass

from nexus_node.base.ids import NodeId
from nexus_node.base.limits import (
    FORK_BLOCK_S,
    FORK_KEPT_S,
    FORKS_MAX,
    FORKS_PER_OWNER,
    RECORD_HISTORY,
)
from nexus_node.wire.mutable import Fork, Record, forked

ForkKey = tuple[bytes, int]
"""Name and sequence: what a fork is known by."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of a record."""

    kept: bool = False
    """It is new here, and among those that are remembered."""
    latest: bool = False
    """It is the latest version from now on."""
    against: Record | None = None
    """It and this one are a fork."""
    dropped: Record | None = None
    """This one is forgotten for it."""


class Versions:
    """The records of one name: those of its highest sequences, so that a fork of any of them is seen."""

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self._known = {record.sequence: record for record in records}

    @property
    def latest(self) -> Record | None:
        return self._known[max(self._known)] if self._known else None

    def take(self, record: Record) -> Taken:
        """A record of this name, whose signature holds."""
        known = self._known.get(record.sequence)
        if known is not None:
            return Taken(against=known if forked(known, record) else None)
        dropped = None
        if len(self._known) >= RECORD_HISTORY:
            lowest = min(self._known)
            if record.sequence < lowest:
                return Taken()
            dropped = self._known.pop(lowest)
        latest = record.sequence > max(self._known, default=-1)
        self._known[record.sequence] = record
        return Taken(True, latest, dropped=dropped)


class Forks:
    """Evidence by name and sequence, with the wall milliseconds when it was found, here or before."""

    def __init__(self) -> None:
        self._found: dict[ForkKey, tuple[Fork, int]] = {}

    def __len__(self) -> int:
        return len(self._found)

    def __contains__(self, key: ForkKey) -> bool:
        return key in self._found

    def add(self, fork: Fork, now_ms: int) -> list[ForkKey] | None:
        """Remember a fork whose signatures hold, found `fork.age_s` ago. Returns what is forgotten for it;
        None when it is known or too old, or all that might go is newer."""
        key, found_ms = (fork.name, fork.sequence), now_ms - 1000 * fork.age_s
        if key in self._found or fork.age_s >= FORK_KEPT_S:
            return None
        of_owner = [one for one, (known, _) in self._found.items() if known.owner == fork.owner]
        goes: list[ForkKey] = []
        for among, most in ((of_owner, FORKS_PER_OWNER), (list(self._found), FORKS_MAX)):
            if len(among) - len(goes) >= most:
                oldest = min(among, key=lambda one: self._found[one][1])
                if self._found[oldest][1] >= found_ms:
                    return None
                goes.append(oldest)
        for one in goes:
            del self._found[one]
        self._found[key] = fork, found_ms
        return goes

    def get(self, key: ForkKey, now_ms: int) -> Fork:
        """That evidence, as old as it is now."""
        fork, found_ms = self._found[key]
        return Fork(max(0, (now_ms - found_ms) // 1000), fork.first, fork.second)

    def keys(self) -> list[ForkKey]:
        """The oldest first."""
        return sorted(self._found, key=lambda one: self._found[one][1])

    def blocked_until_ms(self, owner: NodeId, now_ms: int) -> int | None:
        """Until when nothing is taken of that owner, None when it is not blocked."""
        found = (found_ms for fork, found_ms in self._found.values() if fork.owner == owner)
        until = max(found, default=0) + 1000 * FORK_BLOCK_S
        return until if until > now_ms else None

    def expire(self, now_ms: int) -> list[ForkKey]:
        """Forget what was found too long ago; which."""
        over = [key for key, (_, at) in self._found.items() if at + 1000 * FORK_KEPT_S <= now_ms]
        for key in over:
            del self._found[key]
        return over

    def next_expiry_ms(self) -> int | None:
        found = [at for _, at in self._found.values()]
        return min(found) + 1000 * FORK_KEPT_S if found else None
