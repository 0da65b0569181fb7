"""Meshtastic packets as they are on the air: a header in clear, and a Data protobuf encrypted.

AES-CTR under a channel's key, or AES-CCM under a key agreed with the destination (X25519), as in
`RadioInterface.h`, `CryptoEngine.cpp` and `Channels.cpp` of meshtastic/firmware 7754068.
"""

import hashlib
import struct
from dataclasses import dataclass, replace
from functools import reduce
from operator import xor

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM

BROADCAST = 0xFFFFFFFF
DEFAULT_KEY = bytes.fromhex("d4f1bb3a20290759f0bcffabcf4e6901")
_HEADER = struct.Struct("<IIIBBBB")
PKI_OVERHEAD = 12
WANT_ACK, VIA_MQTT = 0x08, 0x10


@dataclass(frozen=True)
class AirPacket:
    """Header fields and the encrypted rest. `channel_hash` is 0 for what is encrypted to a node."""

    to: int
    sender: int
    id: int
    hop_limit: int
    hop_start: int
    want_ack: bool
    channel_hash: int
    relay_node: int
    body: bytes
    next_hop: int = 0

    def encode(self) -> bytes:
        flags = self.hop_limit | (WANT_ACK if self.want_ack else 0) | self.hop_start << 5
        return (
            _HEADER.pack(
                self.to, self.sender, self.id, flags, self.channel_hash, self.next_hop, self.relay_node
            )
            + self.body
        )

    @classmethod
    def decode(cls, data: bytes) -> "AirPacket | None":
        """None for what is no packet."""
        if len(data) < _HEADER.size:
            return None
        to, sender, number, flags, channel_hash, next_hop, relay_node = _HEADER.unpack_from(data)
        return cls(
            to=to,
            sender=sender,
            id=number,
            hop_limit=flags & 7,
            hop_start=flags >> 5,
            want_ack=bool(flags & WANT_ACK),
            channel_hash=channel_hash,
            relay_node=relay_node,
            body=data[_HEADER.size :],
            next_hop=next_hop,
        )

    def relayed_by(self, node: int) -> "AirPacket":
        """One hop on."""
        return replace(self, hop_limit=self.hop_limit - 1, relay_node=node & 0xFF)


@dataclass(frozen=True)
class MeshChannel:
    """A channel's name and its key of 16 or 32 bytes; one byte is a variant of the default key."""

    name: str
    psk: bytes = b"\x01"

    @property
    def key(self) -> bytes:
        if len(self.psk) != 1:
            return self.psk
        variant = self.psk[0]
        return DEFAULT_KEY[:-1] + bytes(((DEFAULT_KEY[-1] + variant - 1) & 0xFF,)) if variant else b""

    @property
    def hash(self) -> int:
        return reduce(xor, self.name.encode() + self.key, 0)

    def crypt(self, sender: int, packet_id: int, data: bytes) -> bytes:
        """Encrypt, or decrypt."""
        if not self.key:
            return data
        nonce = struct.pack("<QII", packet_id, sender, 0)
        return Cipher(algorithms.AES(self.key), modes.CTR(nonce)).encryptor().update(data)


def _agreed(private: bytes, public: bytes) -> AESCCM:
    shared = X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(public))
    return AESCCM(hashlib.sha256(shared).digest(), tag_length=8)


def _nonce(sender: int, packet_id: int, extra: bytes) -> bytes:
    return struct.pack("<I4sIB", packet_id, extra, sender, 0)


def public_key(private: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def encrypt_to(
    private: bytes, public: bytes, sender: int, packet_id: int, extra: bytes, data: bytes
) -> bytes:
    """Ciphertext, 8 bytes of authentication, the 4 bytes of extra nonce."""
    return _agreed(private, public).encrypt(_nonce(sender, packet_id, extra), data, None) + extra


def decrypt_from(private: bytes, public: bytes, sender: int, packet_id: int, body: bytes) -> bytes | None:
    """None when it is not to this key from that one."""
    if len(body) <= PKI_OVERHEAD:
        return None
    try:
        return _agreed(private, public).decrypt(_nonce(sender, packet_id, body[-4:]), body[:-4], None)
    except (InvalidTag, ValueError):
        return None
