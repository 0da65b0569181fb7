"""The authenticated link handshake: Noise XX at first contact, IK once the peer's key is known (N3).

Messages carry the capabilities of each side; the Ed25519 node id follows from the Noise static key, so
nobody sends 32 bytes twice. See docs/protocol/link.md and ADR 0003.
"""

from copy import copy
from dataclasses import dataclass, field

from nexus_node.base.errors import BadWire
from nexus_node.base.ids import NodeId
from nexus_node.base.limits import MTU_MIN
from nexus_node.base.rng import Rng
from nexus_node.crypto.identity import Identity, node_id_of_static, static_key_of
from nexus_node.crypto.noise import Handshake
from nexus_node.wire.frames import (
    BroadcastShare,
    Capabilities,
    FrameKind,
    Reply,
    parse_capabilities_untrusted,
)

PROLOGUE = b"NexusLink/0"
_EPHEMERAL_SIZE = 32


@dataclass(frozen=True, slots=True)
class Agreed:
    """What a finished handshake yields. Keys are 32 bytes each."""

    peer: NodeId
    mtu: int
    index: int
    """The peer's index for this link."""
    send_key: bytes = field(repr=False)
    open_key: bytes = field(repr=False)
    binding: bytes = field(repr=False)
    broadcast: BroadcastShare | None = None
    """The peer's, on shared media."""


class HandshakeMaker:
    """Opens and answers handshakes for one identity on one carrier."""

    def __init__(self, identity: Identity, rng: Rng) -> None:
        self._static = identity.static
        self._rng = rng

    def open(self, known: NodeId | None, ours: Capabilities) -> "Attempt":
        """Begin as initiator: IK when the node behind the carrier is known, else XX."""
        if known is None:
            noise = Handshake("XX", initiator=True, prologue=PROLOGUE, rng=self._rng, s=self._static)
            return Attempt(FrameKind.XX1, noise, noise.write(), ours)
        noise = Handshake(
            "IK", initiator=True, prologue=PROLOGUE, rng=self._rng, s=self._static, rs=static_key_of(known)
        )
        return Attempt(FrameKind.IK1, noise, noise.write(ours.encode()), ours)

    def answer(self, kind: FrameKind, message: bytes, ours: Capabilities) -> "Answer":
        """Answer an opening. Raises BadWire("bad_handshake") and the parsers' codes."""
        pattern = "XX" if kind == FrameKind.XX1 else "IK"
        noise = Handshake(pattern, initiator=False, prologue=PROLOGUE, rng=self._rng, s=self._static)
        payload = noise.read(message)
        theirs = None
        if kind == FrameKind.IK1:
            theirs = parse_capabilities_untrusted(payload, MTU_MIN)
        return Answer(noise, message, noise.write(ours.encode()), ours, theirs)


def ephemeral_of(message: bytes) -> bytes:
    """The ephemeral key that leads an opening's Noise message; of two crossing openings the lower leads."""
    return message[:_EPHEMERAL_SIZE]


class Attempt:
    """A handshake we opened."""

    def __init__(self, kind: FrameKind, noise: Handshake, message: bytes, ours: Capabilities) -> None:
        self.kind = kind
        self.message = message
        self._noise = noise
        self._ours = ours

    def finish(self, reply: Reply) -> tuple[Agreed, bytes | None]:
        """Take the reply in: what was agreed, and the third message if the pattern has one.

        Raises BadWire; the attempt goes on after that, so that no reply but a right one ends it.
        """
        noise = copy(self._noise)  # a reply may be refused after it was read
        theirs = parse_capabilities_untrusted(noise.read(reply.noise), MTU_MIN)
        final = None
        if self.kind == FrameKind.XX1:
            final = noise.write(self._ours.encode())
        send_key, open_key = noise.split()
        return _agreed(noise, self._ours, theirs, reply.sender, send_key, open_key), final


class Answer:
    """A handshake the peer opened, answered, and not yet confirmed by it."""

    def __init__(
        self,
        noise: Handshake,
        opening: bytes,
        message: bytes,
        ours: Capabilities,
        theirs: Capabilities | None,
    ) -> None:
        self.opening = opening
        self.message = message
        self._noise = noise
        self._ours = ours
        self._theirs = theirs

    def agreed(self, index: int) -> Agreed:
        """For IK, what is agreed if the peer confirms by using the keys."""
        if self._theirs is None:
            raise BadWire("bad_handshake")
        open_key, send_key = self._noise.split()
        return _agreed(self._noise, self._ours, self._theirs, index, send_key, open_key)

    def finish(self, index: int, message: bytes) -> Agreed:
        """For XX, take the third message in. Raises BadWire; the answer stands after that."""
        noise = copy(self._noise)  # a message may be refused after it was read
        theirs = parse_capabilities_untrusted(noise.read(message), MTU_MIN)
        open_key, send_key = noise.split()
        return _agreed(noise, self._ours, theirs, index, send_key, open_key)


def _agreed(
    noise: Handshake, ours: Capabilities, theirs: Capabilities, index: int, send_key: bytes, open_key: bytes
) -> Agreed:
    if noise.remote_static is None:
        raise BadWire("bad_handshake")
    peer = node_id_of_static(noise.remote_static)
    return Agreed(peer, min(ours.mtu, theirs.mtu), index, send_key, open_key, noise.hash, theirs.broadcast)


def opener_of(identity: Identity, message: bytes, rng: Rng) -> NodeId:
    """Who opened with that IK1, if it is for this identity: it names nobody. Raises BadWire."""
    noise = Handshake("IK", initiator=False, prologue=PROLOGUE, rng=rng, s=identity.static)
    noise.read(message)
    if noise.remote_static is None:
        raise BadWire("bad_handshake")
    return node_id_of_static(noise.remote_static)
