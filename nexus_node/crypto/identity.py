"""A node's keys: Ed25519 to sign, the same key's X25519 view to agree (N1, docs/protocol/identity.md)."""

from functools import lru_cache
from hashlib import blake2b
from typing import Self

from nacl.bindings import (
    crypto_sign,
    crypto_sign_BYTES,
    crypto_sign_ed25519_pk_to_curve25519,
    crypto_sign_ed25519_sk_to_curve25519,
    crypto_sign_open,
    crypto_sign_seed_keypair,
)
from nacl.exceptions import CryptoError

from nexus_node.base.errors import BadWire
from nexus_node.base.ids import NODE_ID_SIZE, NodeId
from nexus_node.base.limits import CORRESPONDENTS_MAX
from nexus_node.base.rng import Rng
from nexus_node.crypto.address import address_of
from nexus_node.crypto.noise import KEY_SIZE, KeyPair

SEED_SIZE = 32
SIGNATURE_SIZE = crypto_sign_BYTES

_P = 2**255 - 19


@lru_cache(maxsize=CORRESPONDENTS_MAX)
def agreement_key_of(node_id: NodeId) -> bytes:
    """The X25519 view of an Ed25519 key, 32 bytes: u = (1+y)/(1-y) (RFC 7748 section 4.1).

    Raises BadWire("bad_node_id") unless `node_id` is the canonical encoding of a point of the prime-order
    subgroup.
    """
    # libsodium reads y modulo p, but no point of that subgroup has y < 19, so none has a second encoding.
    if len(node_id) != NODE_ID_SIZE:
        raise BadWire("bad_node_id")
    try:
        return crypto_sign_ed25519_pk_to_curve25519(node_id)
    except CryptoError:
        raise BadWire("bad_node_id") from None


def sign_bit(node_id: NodeId) -> int:
    """The bit of an Ed25519 key that its X25519 view lacks: the sign of x, 0 or 1."""
    return node_id[-1] >> 7


@lru_cache(maxsize=CORRESPONDENTS_MAX)
def node_id_of(agreement_key: bytes, sign: int) -> NodeId:
    """The Ed25519 key whose view is `agreement_key`: y = (u-1)/(u+1), and `sign` for x (RFC 7748).

    Raises BadWire("bad_node_id") when there is none.
    """
    u = int.from_bytes(agreement_key, "little")
    # u = -1 has no y; inverting by Fermat gives 0 there, which the check of the view then refuses.
    y = (u - 1) * pow(u + 1, _P - 2, _P) % _P
    node_id = NodeId((y | sign << 255).to_bytes(NODE_ID_SIZE, "little"))
    if agreement_key_of(node_id) != agreement_key:
        raise BadWire("bad_node_id")
    return node_id


@lru_cache(maxsize=CORRESPONDENTS_MAX)
def static_key_of(node_id: NodeId) -> bytes:
    """The node's static key in Noise messages: its X25519 view with the sign in the spare top bit.

    X25519 ignores that bit (RFC 7748 section 5), but Noise hashes it: so 32 bytes carry the whole node
    id, and a handshake binds it. Without the sign a key and its negative, another node id, would be
    taken for one another. Raises BadWire("bad_node_id").
    """
    view = agreement_key_of(node_id)
    return view[:-1] + bytes((view[-1] | sign_bit(node_id) << 7,))


def node_id_of_static(static_key: bytes) -> NodeId:
    """The inverse of `static_key_of`. Raises BadWire("bad_node_id")."""
    if len(static_key) != KEY_SIZE:
        raise BadWire("bad_node_id")
    last = static_key[-1]
    return node_id_of(static_key[:-1] + bytes((last & 0x7F,)), last >> 7)


class Identity:
    """A node's secret keys, all from one 32-byte seed. Its repr shows the address only."""

    __slots__ = ("_signing_key", "address", "node_id", "seed", "static")

    def __init__(self, seed: bytes) -> None:
        """Raises ValueError unless `seed` has 32 bytes."""
        public, self._signing_key = crypto_sign_seed_keypair(seed)
        self.seed = seed
        self.node_id = NodeId(public)
        self.address = address_of(self.node_id)
        self.static = KeyPair(
            crypto_sign_ed25519_sk_to_curve25519(self._signing_key), static_key_of(self.node_id)
        )
        """The key pair for Noise; its public half is `static_key_of(node_id)`."""

    @classmethod
    def from_seed(cls, seed: bytes) -> Self:
        """Raises ValueError unless `seed` has 32 bytes."""
        return cls(seed)

    @classmethod
    def generate(cls, rng: Rng) -> Self:
        """A new identity, made locally; there is no registrar."""
        return cls(rng.random_bytes(SEED_SIZE))

    @property
    def agreement_public(self) -> bytes:
        """The X25519 view of the node id, 32 bytes."""
        return agreement_key_of(self.node_id)

    @property
    def agreement_secret(self) -> bytes:
        """The X25519 scalar that belongs to it, 32 bytes."""
        return self.static.secret

    def sign(self, data: bytes) -> bytes:
        """Ed25519 signature, 64 bytes (RFC 8032)."""
        return crypto_sign(data, self._signing_key)[:SIGNATURE_SIZE]

    def vault_key(self) -> bytes:
        """32 bytes that protect this node's data at rest."""
        return blake2b(key=self.seed, digest_size=32, person=b"nexus vault").digest()

    def __repr__(self) -> str:
        return f"Identity({self.address.hex()})"


def verify(node_id: NodeId, data: bytes, signature: bytes) -> bool:
    """Whether `signature` is the node's over `data`; False for anything malformed."""
    if len(signature) != SIGNATURE_SIZE or len(node_id) != NODE_ID_SIZE:
        return False
    try:
        crypto_sign_open(signature + data, node_id)
    except CryptoError:
        return False
    return True
