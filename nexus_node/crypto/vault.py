"""Texts at rest: sealed under the identity's vault key (N1)."""

from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt,
)
from nacl.exceptions import CryptoError

from nexus_node.base.errors import StoreCorrupt
from nexus_node.base.rng import Rng

NONCE_SIZE = 24
TAG_SIZE = 16
VAULT_OVERHEAD = NONCE_SIZE + TAG_SIZE


class Vault:
    """XChaCha20-Poly1305 with a random nonce, which 24 bytes are long enough for."""

    def __init__(self, key: bytes) -> None:
        """`key` has 32 bytes, see `Identity.vault_key`."""
        self._key = key

    def seal(self, plaintext: bytes, rng: Rng, associated: bytes = b"") -> bytes:
        """nonce 24 | ciphertext | tag 16. `associated` is not inside but needed to open."""
        nonce = rng.random_bytes(NONCE_SIZE)
        return nonce + crypto_aead_xchacha20poly1305_ietf_encrypt(plaintext, associated, nonce, self._key)

    def open(self, sealed: bytes, associated: bytes = b"") -> bytes:
        """Raises StoreCorrupt when this was not sealed under this key with that `associated`."""
        if len(sealed) < VAULT_OVERHEAD:
            raise StoreCorrupt(_DAMAGED)
        nonce, ciphertext = sealed[:NONCE_SIZE], sealed[NONCE_SIZE:]
        try:
            return crypto_aead_xchacha20poly1305_ietf_decrypt(ciphertext, associated, nonce, self._key)
        except CryptoError:
            raise StoreCorrupt(_DAMAGED) from None


_DAMAGED = "a stored text is damaged or was sealed by another identity; restore the store from a backup"
