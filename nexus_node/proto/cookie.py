"""Stateless proof that a stranger can receive at the address it writes from (N3).

The scheme of RFC 6347 section 4.2.1 and WireGuard: a keyed hash over the source, under a secret that
changes every minute. Nothing is kept about who asked.
"""

import hmac
from hashlib import blake2b

from nexus_node.base.limits import COOKIE_ROTATE_S
from nexus_node.base.rng import Rng
from nexus_node.wire.frames import COOKIE_SIZE


class CookieJar:
    """Makes and checks cookies."""

    def __init__(self, rng: Rng) -> None:
        self._rng = rng
        self._secrets = [rng.random_bytes(32), rng.random_bytes(32)]
        self._rotate_at: float | None = None

    def bake(self, source: bytes, now: float) -> bytes:
        """The cookie for a source: 16 bytes, good for one to two minutes."""
        self._rotate(now)
        return self._cookie(self._secrets[0], source)

    def accepts(self, source: bytes, cookie: bytes, now: float) -> bool:
        self._rotate(now)
        return any(hmac.compare_digest(self._cookie(secret, source), cookie) for secret in self._secrets)

    def _rotate(self, now: float) -> None:
        if self._rotate_at is None:
            self._rotate_at = now + COOKIE_ROTATE_S
        elif now >= self._rotate_at:
            stale = now >= self._rotate_at + COOKIE_ROTATE_S
            previous = self._rng.random_bytes(32) if stale else self._secrets[0]
            self._secrets = [self._rng.random_bytes(32), previous]
            self._rotate_at = now + COOKIE_ROTATE_S

    @staticmethod
    def _cookie(secret: bytes, source: bytes) -> bytes:
        return blake2b(source, key=secret, digest_size=COOKIE_SIZE, person=b"nexus cookie").digest()
