"""What members of a group say to one another to bring a message over several hops: who has it, who wants
it (N11, docs/protocol/group.md "Farther than one hop")."""

from dataclasses import dataclass
from hashlib import blake2b
from struct import Struct

from nexus_node.base.errors import BadWire
from nexus_node.wire.groupitem import EPOCH_SIZE
from nexus_node.wire.routing import parse_prefixes_untrusted

CHECK_ID_SIZE = 4
PROOF_SIZE = 8
CHECKED_MAX = 16
"""Messages that one check names: as many as an entry has bits."""
PLACES_MAX = 16
"""Bytes of the set of those asked: one bit for each of 128 members."""
ENTRY_SIZE = 1 + 2 + PROOF_SIZE
ENTRIES_MAX = 128
_ENTRY = Struct(f"<BH{PROOF_SIZE}s")


@dataclass(frozen=True, slots=True)
class FarCheck:
    """round u8 | epoch 8 | length u8, a bit for the place of each member asked | prefixes of 8: who has which
    of these messages of that epoch?"""

    round: int
    epoch: bytes
    asked: frozenset[int]
    prefixes: tuple[bytes, ...]

    @property
    def id(self) -> bytes:
        return blake2b(self.encode(), digest_size=CHECK_ID_SIZE, person=b"nexus grp check").digest()

    def encode(self) -> bytes:
        bits = sum(1 << place for place in self.asked)
        places = bits.to_bytes((bits.bit_length() + 7) // 8, "little")
        return bytes((self.round,)) + self.epoch + bytes((len(places),)) + places + b"".join(self.prefixes)


def parse_far_check_untrusted(data: bytes) -> FarCheck:
    """Raises BadWire("bad_group_check") or BadWire("bad_prefixes")."""
    head = 1 + EPOCH_SIZE + 1
    if len(data) < head or data[head - 1] > PLACES_MAX or len(data) < head + data[head - 1]:
        raise BadWire("bad_group_check")
    end = head + data[head - 1]
    places = data[head:end]
    if places[-1:] == b"\0":
        raise BadWire("bad_group_check")
    bits = int.from_bytes(places, "little")
    asked = frozenset(place for place in range(8 * len(places)) if bits >> place & 1)
    prefixes = tuple(parse_prefixes_untrusted(data[end:], CHECKED_MAX))
    return FarCheck(data[0], data[1 : 1 + EPOCH_SIZE], asked, prefixes)


@dataclass(frozen=True, slots=True)
class FarHave:
    """place u8 | bits u16 | proof 8: the member at that place has those of the messages of a check."""

    place: int
    bits: int
    proof: bytes


def encode_far_haves(check: bytes, haves: list[FarHave]) -> bytes:
    """id of the check 4, then each."""
    return check + b"".join(_ENTRY.pack(one.place, one.bits, one.proof) for one in haves)


def parse_far_haves_untrusted(data: bytes) -> tuple[bytes, list[FarHave]]:
    """The id of the check, and who has what. Raises BadWire("bad_group_have")."""
    check, rest = data[:CHECK_ID_SIZE], data[CHECK_ID_SIZE:]
    if not rest or len(rest) % ENTRY_SIZE or len(rest) > ENTRIES_MAX * ENTRY_SIZE:
        raise BadWire("bad_group_have")
    return check, [FarHave(*_ENTRY.unpack_from(rest, at)) for at in range(0, len(rest), ENTRY_SIZE)]
