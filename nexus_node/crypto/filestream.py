"""Files sealed in segments: the STREAM construction with ChaCha20-Poly1305 (S1, docs/protocol/object.md).

Hoang, Reyhanitabar, Rogaway, Vizar: Online Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance
(2015), with the nonces and the segment size of age's payload (C2SP age, section Payload): 64 KiB; an 11-byte
big-endian counter and a byte that is 1 for the last segment. A key seals one file.
"""

from collections.abc import Iterable, Iterator
from hashlib import blake2b

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from nexus_node.base.errors import BadWire

SEGMENT = 64 * 1024
KEY_SIZE, TAG_SIZE = 32, 16
_SEALED_SEGMENT = SEGMENT + TAG_SIZE
_WHOLE, _DECLINED, _WITHDRAWN = b"nexus file whole", b"nexus file not", b"nexus file gone"


def sealed_size(size: int) -> int:
    """Bytes of a sealed file of `size` bytes."""
    return size + TAG_SIZE * max(1, -(-size // SEGMENT))


def plain_size(sealed: int) -> int:
    """Bytes of a file whose sealed form has so many."""
    return sealed - TAG_SIZE * max(1, -(-sealed // _SEALED_SEGMENT))


def seal_file(key: bytes, content: bytes) -> Iterator[bytes]:
    """Yield the sealed segments of a file. `key` must have sealed nothing else."""
    return seal_parts(key, (content[at : at + SEGMENT] for at in range(0, len(content), SEGMENT)))


def seal_parts(key: bytes, segments: Iterable[bytes]) -> Iterator[bytes]:
    """The same of a file in parts of `SEGMENT` bytes, the last of which may be shorter."""
    aead, number, segment = ChaCha20Poly1305(key), 0, b""
    for number, following in enumerate(segments):
        if number:
            yield aead.encrypt(_nonce(number - 1, False), segment, None)
        segment = following
    yield aead.encrypt(_nonce(number, True), segment, None)


def open_file(key: bytes, parts: Iterable[bytes]) -> Iterator[bytes]:
    """Yield a file's content as its sealed form comes in parts of any size.

    Raises BadWire("bad_file") when that was not sealed with this key, or is cut off or longer: what was
    yielded before is the beginning of the file all the same.
    """
    aead, number, rest = ChaCha20Poly1305(key), 0, bytearray()
    for part in parts:
        rest += part
        while len(rest) > _SEALED_SEGMENT:
            yield _open(aead, number, bytes(rest[:_SEALED_SEGMENT]), last=False)
            del rest[:_SEALED_SEGMENT]
            number += 1
    yield _open(aead, number, bytes(rest), last=True)


def file_receipt(key: bytes, object_id: bytes) -> bytes:
    """16 bytes that prove that whoever made them has the file's key, and says that all of it is there."""
    return blake2b(object_id, key=key, digest_size=16, person=_WHOLE).digest()


def file_declined(key: bytes, object_id: bytes, message_id: bytes) -> bytes:
    """The same of who says that the file of that message is not wanted."""
    return blake2b(object_id + message_id, key=key, digest_size=16, person=_DECLINED).digest()


def file_withdrawn(key: bytes, object_id: bytes, message_id: bytes) -> bytes:
    """The same of who says that the file of that message will not be sent."""
    return blake2b(object_id + message_id, key=key, digest_size=16, person=_WITHDRAWN).digest()


def _open(aead: ChaCha20Poly1305, number: int, sealed: bytes, *, last: bool) -> bytes:
    try:
        return aead.decrypt(_nonce(number, last), sealed, None)
    except InvalidTag:
        raise BadWire("bad_file") from None


def _nonce(number: int, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes((last,))
