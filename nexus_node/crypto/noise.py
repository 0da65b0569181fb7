"""Noise handshakes: 25519_ChaChaPoly_BLAKE2b of the Noise Protocol Framework, revision 34 (N3, N9).

Sections named below are of that specification, https://noiseprotocol.org/noise.html.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from nacl.bindings import crypto_scalarmult, crypto_scalarmult_base
from nacl.exceptions import CryptoError

from nexus_node.base.errors import BadWire, LocalError
from nexus_node.base.rng import Rng

KEY_SIZE = 32
HASH_SIZE = 64
TAG_SIZE = 16

_BLOCK_SIZE = 128
_INNER_PAD = bytes(byte ^ 0x36 for byte in range(256))
_OUTER_PAD = bytes(byte ^ 0x5C for byte in range(256))


@dataclass(slots=True)
class KeyPair:
    """An X25519 key pair, 32 bytes each. The repr leaves the secret out."""

    secret: bytes = field(repr=False)
    public: bytes

    @classmethod
    def generate(cls, rng: Rng) -> Self:
        secret = rng.random_bytes(KEY_SIZE)
        return cls(secret, crypto_scalarmult_base(secret))


@dataclass(frozen=True, slots=True)
class _Pattern:
    """A row of section 7: which statics are known beforehand, and the tokens of each message."""

    initiator_known: bool
    responder_known: bool
    messages: tuple[tuple[str, ...], ...]


_PATTERNS = {
    "K": _Pattern(True, True, (("e", "es", "ss"),)),
    "X": _Pattern(False, True, (("e", "es", "s", "ss"),)),
    "XX": _Pattern(False, False, (("e",), ("e", "ee", "s", "es"), ("s", "se"))),
    "IK": _Pattern(False, True, (("e", "es", "s", "ss"), ("e", "ee", "se"))),
    "KK": _Pattern(True, True, (("e", "es", "ss"), ("e", "ee", "se"))),
}


def diffie_hellman(secret: bytes, public: bytes) -> bytes:
    """X25519 (RFC 7748), 32 bytes.

    Raises BadWire("bad_handshake") for a public key of small order, whose secret everybody knows.
    """
    try:
        return crypto_scalarmult(secret, public)
    except CryptoError:
        raise BadWire("bad_handshake") from None


def nonce_of(counter: int) -> bytes:
    """The 12-byte ChaChaPoly nonce of a 64-bit counter (section 12.3)."""
    return bytes(4) + counter.to_bytes(8, "little")


def _hmac(key: bytes, data: bytes) -> bytes:
    """HMAC-BLAKE2b (RFC 2104) for keys up to a block; hmac.digest takes twice as long."""
    block = key.ljust(_BLOCK_SIZE, b"\0")
    inner = blake2b(block.translate(_INNER_PAD) + data).digest()
    return blake2b(block.translate(_OUTER_PAD) + inner).digest()


def _second_output(temporary: bytes, first: bytes) -> bytes:
    """The second output of HKDF (section 4.3); the first is `_hmac(temporary, b"\\x01")`."""
    return _hmac(temporary, first + b"\x02")


@lru_cache(maxsize=64)
def _begin(pattern: str, *public: bytes) -> tuple[bytes, bytes]:
    """Chaining key and hash once the prologue and the statics known beforehand are mixed in (section 5.3)."""
    chaining_key = digest = f"Noise_{pattern}_25519_ChaChaPoly_BLAKE2b".encode().ljust(HASH_SIZE, b"\0")
    for data in public:
        digest = blake2b(digest + data).digest()
    return chaining_key, digest


class Handshake:
    """One side of a handshake: `write` and `read` in turn until `finished`, then `split`.

    Public keys may carry a bit of their own in the top bit, which X25519 ignores and the transcript binds.
    """

    def __init__(
        self,
        pattern: str,
        *,
        initiator: bool,
        prologue: bytes,
        rng: Rng | None = None,
        s: KeyPair | None = None,
        rs: bytes | None = None,
        e: KeyPair | None = None,
        ss: bytes | None = None,
    ) -> None:
        """Args:
        pattern: one of K, X, XX, IK, KK.
        prologue: what both sides must agree on without sending it.
        s, rs: our static pair and the other's static public key, as far as the pattern needs them now.
        rng: makes the ephemeral pair `e` when it is first needed; the reader of K or X needs none.
        ss: the Diffie-Hellman result of both statics, if known already.

        Raises LocalError when a key the pattern presumes is missing.
        """
        row = _PATTERNS[pattern]
        self._messages = row.messages
        self._initiator = initiator
        self._rng = rng
        self._s, self._e, self._ss = s, e, ss
        self._rs: bytes | None = rs
        self._re: bytes | None = None
        self._temporary: bytes | None = None
        """What the cipher's key is made of once it is needed: two in a row mix_key waste the first."""
        self._n = 0
        self._turn = 0
        ours = s.public if s else None
        public = [prologue]
        for known, key in (
            (row.initiator_known, ours if initiator else rs),
            (row.responder_known, rs if initiator else ours),
        ):
            if known:
                if key is None:
                    raise LocalError(f"Noise {pattern} presumes a static key that is missing")
                public.append(key)
        self._ck, self._hash = _begin(pattern, *public)

    @property
    def finished(self) -> bool:
        """Whether every message has been written or read."""
        return self._turn == len(self._messages)

    @property
    def remote_static(self) -> bytes | None:
        """The other's static public key, once known."""
        return self._rs

    @property
    def hash(self) -> bytes:
        """The handshake hash, 64 bytes: what binds a channel to this handshake (section 11.2)."""
        return self._hash

    def write(self, payload: bytes = b"") -> bytes:
        """The next message. The caller keeps it within what its framing carries.

        Raises BadWire("bad_handshake") when the other's key is of small order, LocalError out of turn.
        """
        parts = []
        for token in self._tokens(writing=True):
            if token == "e":
                if self._e is None:
                    self._e = self._new_ephemeral()
                self._mix_hash(self._e.public)
                parts.append(self._e.public)
            elif token == "s":
                if self._s is None:
                    raise LocalError("this handshake needs a static key")
                parts.append(self._encrypt(self._s.public))
            else:
                self._mix_key(self._agree(token))
        parts.append(self._encrypt(payload))
        self._turn += 1
        return b"".join(parts)

    def read(self, message: bytes) -> bytes:
        """The payload of the other's next message, which may be anything at all.

        Raises BadWire("bad_handshake") when it is not that message; the handshake then stands as before,
        so that a forged message cannot end it. LocalError out of turn.
        """
        before = self._hash, self._ck, self._temporary, self._n, self._re, self._rs
        try:
            payload = self._read(message)
        except (BadWire, InvalidTag):
            self._hash, self._ck, self._temporary, self._n, self._re, self._rs = before
            raise BadWire("bad_handshake") from None
        self._turn += 1
        return payload

    def split(self) -> tuple[bytes, bytes]:
        """Two 32-byte keys: initiator to responder, responder to initiator (section 5.2, Split).

        Raises LocalError before the handshake is finished.
        """
        if not self.finished:
            raise LocalError("the handshake is not finished")
        temporary = _hmac(self._ck, b"")
        first = _hmac(temporary, b"\x01")
        return first[:KEY_SIZE], _second_output(temporary, first)[:KEY_SIZE]

    def _read(self, message: bytes) -> bytes:
        at = 0
        for token in self._tokens(writing=False):
            if token == "e":
                self._re = message[:KEY_SIZE]
                if len(self._re) < KEY_SIZE:
                    raise BadWire("bad_handshake")
                self._mix_hash(self._re)
                at = KEY_SIZE
            elif token == "s":
                # In every pattern above a Diffie-Hellman precedes it, so it comes encrypted.
                end = at + KEY_SIZE + TAG_SIZE
                self._rs = self._decrypt(message[at:end])
                at = end
            else:
                self._mix_key(self._agree(token))
        return self._decrypt(message[at:])

    def _tokens(self, *, writing: bool) -> tuple[str, ...]:
        our_turn = (self._turn % 2 == 0) == self._initiator
        if self.finished or our_turn != writing:
            raise LocalError("out of turn in the handshake")
        return self._messages[self._turn]

    def _new_ephemeral(self) -> KeyPair:
        if self._rng is None:
            raise LocalError("this handshake needs randomness")
        return KeyPair.generate(self._rng)

    def _agree(self, token: str) -> bytes:
        """The Diffie-Hellman result of a token; its first letter is the initiator's key."""
        if token == "ss" and self._ss is not None:
            return self._ss
        mine, theirs = (token[0], token[1]) if self._initiator else (token[1], token[0])
        pair = self._e if mine == "e" else self._s
        public = self._re if theirs == "e" else self._rs
        if pair is None or public is None:
            raise LocalError(f"this handshake lacks a key for {token}")
        return diffie_hellman(pair.secret, public)

    def _mix_hash(self, data: bytes) -> None:
        self._hash = blake2b(self._hash + data).digest()

    def _mix_key(self, material: bytes) -> None:
        self._temporary = _hmac(self._ck, material)
        self._ck = _hmac(self._temporary, b"\x01")
        self._n = 0

    def _cipher(self, temporary: bytes) -> ChaCha20Poly1305:
        return ChaCha20Poly1305(_second_output(temporary, self._ck)[:KEY_SIZE])

    def _encrypt(self, plaintext: bytes) -> bytes:
        """EncryptAndHash (section 5.2): in clear until there is a key."""
        if self._temporary is None:
            self._mix_hash(plaintext)
            return plaintext
        sealed = self._cipher(self._temporary).encrypt(nonce_of(self._n), plaintext, self._hash)
        self._n += 1
        self._mix_hash(sealed)
        return sealed

    def _decrypt(self, data: bytes) -> bytes:
        if self._temporary is None:
            self._mix_hash(data)
            return data
        plaintext = self._cipher(self._temporary).decrypt(nonce_of(self._n), data, self._hash)
        self._n += 1
        self._mix_hash(data)
        return plaintext
