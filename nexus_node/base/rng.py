"""What randomness looks like below the seam."""

from typing import Protocol


class Rng(Protocol):
    """A source of random bytes: the operating system's in a node, a seeded one in the simulator."""

    def random_bytes(self, count: int, /) -> bytes:
        """Return `count` random bytes."""
        ...
