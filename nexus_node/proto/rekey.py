"""New keys for an established link: Noise KK inside the sealed link, bound to the running session (N3).

96 bytes of items once an hour; a captured key opens at most that hour.
"""

from nexus_node.base.errors import BadWire
from nexus_node.base.ids import NodeId
from nexus_node.base.rng import Rng
from nexus_node.crypto.identity import Identity, static_key_of
from nexus_node.crypto.noise import Handshake
from nexus_node.proto.handshake import ephemeral_of

_PROLOGUE = b"NexusLink/0 rekey"


class Rekeying:
    """One rekey, from either side."""

    def __init__(self, noise: Handshake, message: bytes, answered: bytes | None) -> None:
        """`answered` is the opening this is an answer to, None on the opening side."""
        self._noise = noise
        self.message = message
        self.answered = answered
        self.due = 0.0
        self.tries = 0

    @classmethod
    def start(cls, identity: Identity, peer: NodeId, binding: bytes, rng: Rng) -> "Rekeying":
        noise = _noise(identity, peer, binding, rng, initiator=True)
        return cls(noise, noise.write(), None)

    @classmethod
    def answer(cls, identity: Identity, peer: NodeId, binding: bytes, message: bytes, rng: Rng) -> "Rekeying":
        """Raises BadWire("bad_handshake")."""
        noise = _noise(identity, peer, binding, rng, initiator=False)
        noise.read(message)
        return cls(noise, noise.write(), message)

    def leads(self, message: bytes) -> bool:
        """Whether ours goes on and the peer's, opened at the same time, gives way."""
        return self.answered is None and ephemeral_of(self.message) < ephemeral_of(message)

    def finish(self, message: bytes) -> None:
        """Take the reply in. Raises BadWire("bad_handshake")."""
        if self._noise.finished:
            raise BadWire("bad_handshake")
        self._noise.read(message)

    @property
    def keys(self) -> tuple[bytes, bytes]:
        """(initiator to responder, responder to initiator)."""
        return self._noise.split()


def _noise(identity: Identity, peer: NodeId, binding: bytes, rng: Rng, *, initiator: bool) -> Handshake:
    return Handshake(
        "KK",
        initiator=initiator,
        prologue=_PROLOGUE + binding,
        rng=rng,
        s=identity.static,
        rs=static_key_of(peer),
    )
