"""The operating system's randomness: what `Rng` is in a real node."""

import os


class OsRng:
    """An `Rng` from the kernel's generator."""

    def random_bytes(self, count: int) -> bytes:
        """Return `count` random bytes."""
        return os.urandom(count)
